//! Our side of every row: a backend on one thread that holds a setup.

use shardmark_kernels::backend::{BackendId, Control, Description, Kernel, Options, Prepared, Session};

/// The backend under test.
pub struct Ours<K: Kernel> {
    /// What runs.
    pub description: Description,
    prepared: Box<dyn Prepared<K>>,
    control: Control,
}

impl<K: Kernel> Ours<K> {
    /// # Errors
    ///
    /// The backend is unavailable or refuses the setup.
    pub fn open(id: BackendId, setup: &K::Setup) -> Result<Self, String> {
        let unavailable = |reason: &dyn std::fmt::Display| format!("{} on {id}: {reason}", K::NAME);
        let backend = K::open(id, &Options::default()).map_err(|e| unavailable(&e))?;
        let prepared = backend.prepare(setup).map_err(|e| unavailable(&e))?;
        let mut description = backend.description();
        if cfg!(feature = "reed-solomon-simd-accel") {
            // Cargo builds one crate for both sides, and the backend does not know with which features.
            description.build = description.build.replace("without simd-accel", "with simd-accel");
        }
        Ok(Self { description, prepared, control: Control::default() })
    }

    /// The output for `input`, compared with the kernel's oracle.
    ///
    /// # Errors
    ///
    /// The backend failed, or the output is wrong.
    pub fn checked(&self, setup: &K::Setup, input: &K::Input) -> Result<K::Output, String> {
        let output = self.compute(input).ok_or_else(|| format!("{}: no output", K::NAME))?;
        K::check(setup, input, &output).map_err(|e| format!("{}: {e}", K::NAME))?;
        Ok(output)
    }

    /// One input, decoded.
    ///
    /// # Errors
    ///
    /// The backend refuses it.
    pub fn load<'a>(&'a self, input: &'a K::Input) -> Result<Loaded<'a, K>, String> {
        let session = self.prepared.load(input).map_err(|e| format!("{}: {e}", K::NAME))?;
        Ok(Loaded { session, control: &self.control })
    }

    /// From the input's bytes to the output.
    pub fn compute(&self, input: &K::Input) -> Option<K::Output> {
        self.prepared.compute(input, &self.control).ok()
    }
}

/// A decoded input.
pub struct Loaded<'a, K: Kernel> {
    session: Box<dyn Session<K> + 'a>,
    control: &'a Control,
}

impl<K: Kernel> Loaded<'_, K> {
    /// The work alone; the output stays where the backend keeps it.
    pub fn execute(&mut self) -> bool {
        self.session.execute(self.control).is_ok()
    }

    /// The way the last call took, if the backend has several.
    pub fn path(&self) -> Option<&'static str> {
        self.session.path()
    }

    /// The work and its encoded output.
    pub fn output(&mut self) -> Option<K::Output> {
        self.session.execute(self.control).ok()?;
        self.session.output().ok()
    }
}
