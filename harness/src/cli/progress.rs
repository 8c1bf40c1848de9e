//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Pause between plain lines.
const PAUSE: Duration = Duration::from_secs(10);

/// How far a command is.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    message: String,
    last: Instant,
}

impl Progress {
    /// `total` steps: iterations, or milliseconds.
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, total, done: 0, message: String::new(), last: Instant::now() }
    }

    /// What happens now.
    pub fn message(&mut self, message: &str) {
        self.message = message.to_owned();
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// So many more steps.
    pub fn add(&mut self, steps: u64) {
        self.set(self.done.saturating_add(steps));
    }

    /// So many steps in all.
    pub fn set(&mut self, done: u64) {
        self.done = done.min(self.total);
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.last.elapsed() >= PAUSE => {
                self.last = Instant::now();
                eprintln!("{:>3}%  {}", 100 * self.done / self.total.max(1), self.message);
            }
            None => {}
        }
    }

    /// Runs something that prints, without the bar in its way.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
