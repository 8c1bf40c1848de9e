//! A run's folder: one place for everything that was asked, measured and concluded.
//!
//! ```text
//! manifest.json  config.toml  system/<host>.json  events/<node>.jsonl.zst  hist/<node>-<series>.hlog
//! summary.json  report.md  report.html  checksums.txt;  beacon.json in runs with a delay function
//! ```
//!
//! Files that are written once are written beside their place and renamed, so a reader sees all of one or none.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Backends, Config};

/// Version of the bundle's layout and of `manifest.json`.
pub const SCHEMA: u32 = 1;
/// The list of hashes that [`Bundle::seal`] writes and [`Bundle::verify`] reads.
pub const CHECKSUMS: &str = "checksums.txt";
/// Largest JSON file that is read whole.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// Why a bundle cannot be written or read: one line that names the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BundleError(pub String);

/// `manifest.json`: what ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `shardmark 0.1.0`.
    pub tool: String,
    /// When the run was started, UTC, RFC 3339.
    pub created: String,
    /// The command line.
    pub command: Vec<String>,
    /// The configuration, defaults written out, with the backends that this run used.
    pub config: Config,
    /// [`Config::hash`].
    pub config_hash: String,
    /// Seed.
    pub seed: u64,
    /// How the binary was built.
    pub build: Build,
    /// BLAKE3 of the binary, hex.
    pub binary_hash: Option<String>,
    /// Its place in a matrix, if it belongs to one.
    pub cell: Option<Cell>,
}

/// `beacon.json`: what the delay function took once, before any validator ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayAlone {
    /// The evaluation.
    pub evaluate_ns: u64,
    /// The verification of its proof.
    pub verify_ns: u64,
}

impl DelayAlone {
    /// Its place in a bundle.
    pub const FILE: &str = "beacon.json";
}

/// How a binary was built, as recorded by the build itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Git revision of the source, if it was built from a repository.
    pub revision: Option<String>,
    /// Whether files differed from that revision.
    pub dirty: Option<bool>,
    /// `rustc --version`.
    pub compiler: String,
    /// Target triple.
    pub target: String,
    /// Cargo profile and optimisation level, such as `release, opt-level 3`.
    pub profile: String,
    /// RUSTFLAGS, empty for none.
    pub flags: String,
    /// Overflow checks and debug assertions: never in a run to publish.
    pub debug_assertions: bool,
}

/// A run's place in a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Position in the order of execution, from 0.
    pub index: u32,
    /// Which repeat of its backend, from 0. Runs of one repeat are compared as a pair.
    pub repeat: u32,
    /// The backend of each kernel family.
    pub backend: Backends,
    /// Its place on the other axes; absent in a matrix of backends alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// A run's place on a matrix's axes of propagation, in the words of its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// `whole-block`, or the code.
    pub code: String,
    /// Part of the datagrams lost on purpose, `5%`.
    pub loss: String,
    /// Faulty relays, `1 silent`, or `none`.
    pub faults: String,
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Makes an empty folder's layout and writes the manifest and `config.toml`.
    ///
    /// # Errors
    ///
    /// A folder that exists and is not empty, or cannot be written.
    pub fn create(path: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        prepare_folder(path)?;
        let bundle = Self { path: path.to_owned() };
        for folder in ["events", "hist", "system"] {
            let folder = path.join(folder);
            fs::create_dir(&folder).map_err(|error| at(&folder, error))?;
        }
        bundle.write_json("manifest.json", manifest)?;
        bundle.write("config.toml", manifest.config.to_toml().as_bytes())?;
        Ok(bundle)
    }

    /// Opens a folder that holds a manifest.
    ///
    /// # Errors
    ///
    /// No folder, or no `manifest.json` inside.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        if !path.join("manifest.json").is_file() {
            return Err(BundleError(format!("{}: not a bundle: no manifest.json", path.display())));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the manifest.
    ///
    /// # Errors
    ///
    /// Unreadable, malformed, another schema, or a hash that does not belong to its configuration.
    pub fn manifest(&self) -> Result<Manifest, BundleError> {
        let manifest: Manifest = self.read_json("manifest.json")?;
        let wrong = |reason: String| BundleError(format!("{}: {reason}", self.path.join("manifest.json").display()));
        if manifest.schema != SCHEMA {
            return Err(wrong(format!("schema is {}: this version reads {SCHEMA}", manifest.schema)));
        }
        manifest.config.check().map_err(wrong)?;
        if manifest.config.hash() != manifest.config_hash {
            return Err(wrong("config_hash does not belong to config".into()));
        }
        Ok(manifest)
    }

    /// Writes `name` atomically.
    ///
    /// # Errors
    ///
    /// The path and what the system said.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        write_atomically(&self.path.join(name), bytes)
    }

    /// As [`Bundle::write`], for pretty JSON.
    ///
    /// # Errors
    ///
    /// As [`Bundle::write`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), BundleError> {
        let mut json = serde_json::to_vec_pretty(value).map_err(|error| at(&self.path.join(name), error))?;
        json.push(b'\n');
        self.write(name, &json)
    }

    /// Reads and parses a JSON file.
    ///
    /// # Errors
    ///
    /// The path and the reason.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, BundleError> {
        let path = self.path.join(name);
        let bytes = read_bounded(&path, MAX_JSON_BYTES)?;
        serde_json::from_slice(&bytes).map_err(|error| at(&path, error))
    }

    /// The files of a sub-folder with this ending, by name.
    ///
    /// # Errors
    ///
    /// An unreadable folder. A missing one is empty.
    pub fn files(&self, folder: &str, ending: &str) -> Result<Vec<PathBuf>, BundleError> {
        let folder = self.path.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&folder, error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| at(&folder, error))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending)) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Hashes every file into `checksums.txt`: `<blake3 hex>  <path>`, by path, as `b3sum --check` reads it.
    ///
    /// # Errors
    ///
    /// An unreadable file.
    pub fn seal(&self) -> Result<(), BundleError> {
        let mut text = String::new();
        for name in self.names()? {
            text.push_str(&format!("{}  {name}\n", hash_file(&self.path.join(&name))?));
        }
        self.write(CHECKSUMS, text.as_bytes())
    }

    /// Compares every file with `checksums.txt`. One line for each difference; none for an untouched bundle.
    ///
    /// # Errors
    ///
    /// No readable `checksums.txt`, or a file that cannot be read.
    pub fn verify(&self) -> Result<Vec<String>, BundleError> {
        let path = self.path.join(CHECKSUMS);
        let text = String::from_utf8(read_bounded(&path, MAX_JSON_BYTES)?).map_err(|error| at(&path, error))?;
        let mut findings = Vec::new();
        let present = self.names()?;
        let mut listed = Vec::new();
        for line in text.lines() {
            let Some((hash, name)) = line.split_once("  ") else {
                findings.push(format!("{CHECKSUMS}: malformed line `{}`", line.escape_debug()));
                continue;
            };
            listed.push(name.to_owned());
            // Only names that the folder itself lists are opened: a name cannot lead outside.
            if !present.iter().any(|file| file == name) {
                findings.push(format!("{name}: listed in {CHECKSUMS} and missing"));
            } else if hash_file(&self.path.join(name))? != hash {
                findings.push(format!("{name}: changed since the run"));
            }
        }
        for name in present {
            if !listed.contains(&name) {
                findings.push(format!("{name}: not listed in {CHECKSUMS}"));
            }
        }
        Ok(findings)
    }

    /// Every file but the checksums, relative, with `/`.
    fn names(&self) -> Result<Vec<String>, BundleError> {
        let mut names = Vec::new();
        for folder in ["", "events", "hist", "system"] {
            for path in self.files(folder, "")? {
                if path.is_file()
                    && let Some(name) = path.file_name().and_then(|name| name.to_str())
                    && name != CHECKSUMS
                {
                    names.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes `path` an empty folder, or says why not.
///
/// # Errors
///
/// It exists and is not empty, or cannot be made or written.
pub fn prepare_folder(path: &Path) -> Result<(), BundleError> {
    fs::create_dir_all(path).map_err(|error| at(path, error))?;
    if fs::read_dir(path).map_err(|error| at(path, error))?.next().is_some() {
        return Err(BundleError(format!("{}: exists and is not empty", path.display())));
    }
    // Permission bits do not tell: only writing does.
    tempfile::tempfile_in(path).map(drop).map_err(|error| at(path, error))
}

/// Writes beside `path`, makes it durable, and renames.
///
/// # Errors
///
/// The path and what the system said.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| at(path, error))
}

fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    // Less the umask; the default of temporary files is 0600.
    fs::Permissions::from_mode(0o666)
}

fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, BundleError> {
    let length = fs::metadata(path).map_err(|error| at(path, error))?.len();
    if length > max {
        return Err(BundleError(format!("{}: {length} bytes, at most {max} are read", path.display())));
    }
    fs::read(path).map_err(|error| at(path, error))
}

/// BLAKE3 of a file, hex.
///
/// # Errors
///
/// The path and what the system said.
pub fn hash_file(path: &Path) -> Result<String, BundleError> {
    let hash = || -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    hash().map_err(|error| at(path, error))
}

fn at(path: &Path, error: impl std::fmt::Display) -> BundleError {
    BundleError(format!("{}: {error}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let config = Config::example();
        Manifest {
            schema: SCHEMA,
            tool: "shardmark 0.1.0".into(),
            created: "2026-01-02T03:04:05Z".into(),
            command: ["shardmark", "run", "example.toml"].map(str::to_owned).to_vec(),
            config_hash: config.hash(),
            seed: config.seed,
            config,
            build: Build {
                revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
                dirty: Some(false),
                compiler: "rustc 1.90.0".into(),
                target: "x86_64-unknown-linux-gnu".into(),
                profile: "release, opt-level 3".into(),
                flags: String::new(),
                debug_assertions: false,
            },
            binary_hash: None,
            cell: None,
        }
    }

    #[test]
    fn a_bundle_reads_back_and_any_change_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let bundle = Bundle::create(&path, &manifest()).unwrap();
        bundle.write("events/a.jsonl.zst", b"1").unwrap();
        bundle.seal().unwrap();
        assert_eq!(Bundle::open(&path).unwrap().manifest().unwrap(), manifest());
        assert_eq!(Config::load(&path.join("config.toml"), &[]).unwrap(), manifest().config);
        assert!(bundle.verify().unwrap().is_empty());

        bundle.write("events/a.jsonl.zst", b"2").unwrap();
        bundle.write("events/b.jsonl.zst", b"").unwrap();
        fs::remove_file(path.join("config.toml")).unwrap();
        assert_eq!(
            bundle.verify().unwrap(),
            [
                "config.toml: listed in checksums.txt and missing",
                "events/a.jsonl.zst: changed since the run",
                "events/b.jsonl.zst: not listed in checksums.txt"
            ]
        );
        fs::write(path.join(CHECKSUMS), "00  ../../../etc/passwd\nrubbish\n").unwrap();
        let findings = bundle.verify().unwrap();
        assert!(findings.contains(&"../../../etc/passwd: listed in checksums.txt and missing".to_owned()));
        assert!(findings.contains(&"checksums.txt: malformed line `rubbish`".to_owned()));
    }

    #[test]
    fn folders_that_are_not_empty_or_not_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        let message = |path: &Path| Bundle::create(path, &manifest()).unwrap_err().0;
        assert!(message(folder.path()).ends_with("exists and is not empty"));
        assert!(message(&folder.path().join("file")).contains("file: "));
        assert!(message(&folder.path().join("file/below")).contains("below: "));
        assert!(Bundle::open(folder.path()).unwrap_err().0.ends_with("not a bundle: no manifest.json"));
    }

    #[test]
    fn an_edited_manifest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let edited = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            let path = folder.path().join(manifest.created.clone());
            let bundle = Bundle::create(&path, &manifest).unwrap();
            bundle.manifest().unwrap_err().0
        };
        assert!(
            edited(|m| {
                m.created = "1".into();
                m.config.seed = 9;
            })
            .contains("config_hash")
        );
        assert!(
            edited(|m| {
                m.created = "2".into();
                m.schema = 9;
            })
            .contains("schema is 9")
        );
    }
}
