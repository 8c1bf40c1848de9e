//! What a run leaves behind: typed events and histograms while it runs, a sealed folder afterwards.
//!
//! [`Recorder`] writes, [`reader`] and [`histogram`] read, [`Bundle`] is the folder. Nothing here is a conclusion that
//! could not be drawn again from the files.

pub mod bundle;
mod clock;
pub mod event;
pub mod histogram;
pub mod reader;
mod recorder;
mod resources;

pub use bundle::{Build, Bundle, BundleError, Cell, Manifest};
pub use clock::Clock;
pub use event::{Event, Job, Mark, NetSample, Payload, TransactionCounts};
pub use recorder::{RecordError, Recorder, RecorderOptions};
