//! What a run leaves behind: typed events and histograms while it runs, a sealed folder afterwards.
//!
//! [`Recorder`] writes, [`reader`] and [`histogram`] read, [`Bundle`] is the folder, [`summarise`] draws
//! the conclusions. Nothing here is a conclusion that
//! could not be drawn again from the files.

mod bottleneck;
pub mod bundle;
mod clock;
mod collect;
mod critical_path;
pub mod event;
pub mod histogram;
pub mod matrix;
pub mod propagation;
mod quality;
pub mod reader;
mod recorder;
mod resources;
mod summarise;
pub mod summary;

pub use bundle::{Build, Bundle, BundleError, Cell, DelayAlone, Manifest, Variant};
pub use clock::Clock;
pub use collect::{Collected, Process};
pub use event::{Event, ImpairedSample, Job, Mark, NetSample, Payload, TransactionCounts};
pub use recorder::{RecordError, Recorder, RecorderOptions};
pub use summarise::{conclude, summarise};
pub use summary::{Grade, Summary};
