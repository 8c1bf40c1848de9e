//! One process a validator, on this machine.
//!
//! The launcher draws keys, starts the processes, tells each where the others listen, names time zero, follows progress,
//! and stops them. A node that dies or an interrupt ends the run early, and what was recorded stays.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::cluster::control::{FromNode, ToNode};
use crate::cluster::spec::{Secrets, private_folder, write_private};
use crate::config::Config;
use crate::net::{Peer, Roster};
use crate::record::Clock;
use crate::types::ValidatorIndex;

/// Until every node has bound its port.
const LISTEN_WITHIN: Duration = Duration::from_secs(60);
/// Until every node has decoded keys, signed its load and met its peers.
const READY_WITHIN: Duration = Duration::from_secs(600);
/// From the last `ready` to time zero.
const LEAD: Duration = Duration::from_millis(500);
/// From the planned end to `stop`, for what nodes still have to say.
const GRACE: Duration = Duration::from_millis(500);
/// From `stop` until a node is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How a run of processes ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Somebody asked for it before its time.
    pub interrupted: bool,
    /// Nodes that died or gave up, one line each.
    pub failures: Vec<String>,
}

/// Where the launcher tells a person what happens.
pub trait Progress {
    /// A stage begins.
    fn stage(&mut self, text: &str);
    /// About once a second while running: seconds since time zero, total seconds planned, and the nodes' last words.
    fn running(&mut self, at: Duration, planned: Duration, nodes: &[NodeProgress]);
}

/// The last progress a node reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeProgress {
    /// Height of its last final block.
    pub block_num: u64,
    /// Own transactions that are final.
    pub finalized: u64,
    /// Own transactions whose schedule has passed.
    pub due: u64,
    /// View changes it saw.
    pub view_changes: u64,
}

struct Node {
    child: Child,
    input: Option<ChildStdin>,
    address: Option<SocketAddr>,
    ready: bool,
    drained: bool,
    ended: bool,
    progress: NodeProgress,
}

enum Heard {
    Said(FromNode),
    Noise(String),
    Closed,
}

struct Cluster<'a> {
    nodes: Vec<Node>,
    heard: Receiver<(usize, Heard)>,
    failures: Vec<String>,
    failure_code: Option<u8>,
    interrupt: &'a AtomicBool,
}

/// Runs `config` on processes of this binary. Events and histograms go to `bundle`; keys and journals to `private`, which the
/// caller removes afterwards.
///
/// # Errors
///
/// The run never began: a process could not be started, a port is busy, a node refused its file. Once time zero is named, the
/// end is always an [`Ended`].
pub fn run(
    config: &Config,
    bundle: &Path,
    private: &Path,
    interrupt: &AtomicBool,
    progress: &mut dyn Progress,
) -> anyhow::Result<Ended> {
    let validators = config.cluster.validators;
    progress.stage(&format!("drawing keys for {validators} validators"));
    private_folder(private).with_context(|| format!("cannot create {}", private.display()))?;
    let logs = bundle.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let secrets = Secrets::draw(validators, config.cluster.keys_per_validator)?;
    let (sender, heard) = channel();
    let mut cluster = Cluster { nodes: Vec::new(), heard, failures: Vec::new(), failure_code: None, interrupt };
    progress.stage("starting validators");
    for index in 0..usize::from(validators) {
        let folder = private.join(format!("node-{index}"));
        private_folder(&folder)?;
        let spec = secrets.spec(index, config, bundle, folder.clone());
        let path = folder.join("spec.json");
        write_private(&path, &serde_json::to_vec(&spec)?)?;
        cluster.nodes.push(start(index, &path, bundle, sender.clone())?);
    }
    drop(sender);

    cluster.until(LISTEN_WITHIN, "to listen", |node| node.address.is_some())?;
    let peers = cluster.nodes.iter().enumerate().map(|(index, node)| {
        let address = node.address.context("a validator that listens has an address")?;
        Ok(Peer { index: ValidatorIndex(index as u16), address, certificate: secrets.certificate(index).to_vec() })
    });
    let roster = Roster { peers: peers.collect::<anyhow::Result<_>>()? };
    cluster.tell_all(&ToNode::Roster { roster });
    progress.stage("connecting, decoding keys and preparing the load");
    cluster.until(READY_WITHIN, "to be ready", |node| node.ready)?;

    let start = Instant::now() + LEAD;
    cluster.tell_all(&ToNode::Start { monotonic_ns: Clock::starting_in(LEAD).start_ns() });
    let planned = config.load_end() + config.load.drain.duration();
    progress.stage(&format!("running for up to {} s", planned.as_secs_f64()));
    let interrupted = cluster.follow(start, planned, progress);
    progress.stage("stopping validators");
    cluster.stop();
    Ok(Ended { interrupted, failures: cluster.failures.clone() })
}

fn start(index: usize, spec: &Path, bundle: &Path, sender: Sender<(usize, Heard)>) -> anyhow::Result<Node> {
    let binary = std::env::current_exe().context("cannot find the shardmark binary")?;
    let log = bundle.join(format!("logs/node-{index}.log"));
    let log = std::fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    // Its own process group: an interrupt at the terminal reaches the launcher, which stops the nodes in order.
    let mut child = Command::new(&binary)
        .arg("node")
        .arg(spec)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let input = child.stdin.take();
    let output = child.stdout.take().context("a piped child has an output")?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            let heard = serde_json::from_str(&line).map_or(Heard::Noise(line), Heard::Said);
            if sender.send((index, heard)).is_err() {
                return;
            }
        }
        let _ = sender.send((index, Heard::Closed));
    });
    Ok(Node {
        child,
        input,
        address: None,
        ready: false,
        drained: false,
        ended: false,
        progress: NodeProgress::default(),
    })
}

impl Cluster<'_> {
    fn tell_all(&mut self, message: &ToNode) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        for node in &mut self.nodes {
            // A node that no longer reads is dying: its end is reported when its output closes.
            let written = node.input.as_mut().map(|input| input.write_all(&line).and_then(|()| input.flush()));
            if !matches!(written, Some(Ok(()))) {
                node.input = None;
            }
        }
    }

    /// Waits until all nodes satisfy `done`. Before time zero any failure is final.
    fn until(&mut self, within: Duration, what: &str, done: impl Fn(&Node) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !self.nodes.iter().all(&done) {
            self.hear(Duration::from_millis(100));
            if let Some(failure) = self.failures.first() {
                let failure = failure.clone();
                return Err(match self.failure_code {
                    Some(2) => crate::cluster::Usage(failure).into(),
                    _ => anyhow::anyhow!(failure),
                });
            }
            if self.interrupt.load(Ordering::Relaxed) {
                bail!("interrupted before the run began");
            }
            if Instant::now() > deadline {
                let late: Vec<_> = (0..self.nodes.len()).filter(|&i| !done(&self.nodes[i])).collect();
                bail!("waited {} s for validators {late:?} {what}", within.as_secs());
            }
        }
        Ok(())
    }

    /// Returns whether an interrupt ended the run.
    fn follow(&mut self, start: Instant, planned: Duration, progress: &mut dyn Progress) -> bool {
        let mut next_report = start;
        loop {
            self.hear(Duration::from_millis(100));
            let now = Instant::now();
            if now >= next_report {
                let nodes: Vec<_> = self.nodes.iter().map(|node| node.progress).collect();
                progress.running(now.saturating_duration_since(start), planned, &nodes);
                next_report = now + Duration::from_secs(1);
            }
            if self.interrupt.load(Ordering::Relaxed) {
                return true;
            }
            let over = now.saturating_duration_since(start) > planned + GRACE;
            if over || self.nodes.iter().all(|node| node.drained || node.ended) {
                return false;
            }
        }
    }

    fn hear(&mut self, wait: Duration) {
        let mut wait = wait;
        loop {
            let (index, heard) = match self.heard.recv_timeout(wait) {
                Ok(heard) => heard,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            };
            wait = Duration::ZERO;
            let node = &mut self.nodes[index];
            match heard {
                Heard::Said(FromNode::Listening { address }) => node.address = Some(address),
                Heard::Said(FromNode::Ready) => node.ready = true,
                Heard::Said(FromNode::Progress { block_num, finalized, due, view_changes }) => {
                    node.progress = NodeProgress { block_num, finalized, due, view_changes };
                }
                Heard::Said(FromNode::Drained) => node.drained = true,
                Heard::Said(FromNode::Stopped) => node.ended = true,
                Heard::Said(FromNode::Failed { reason, code }) => {
                    node.ended = true;
                    self.failure_code.get_or_insert(code);
                    self.failures.push(format!("validator {index}: {reason}"));
                }
                Heard::Noise(line) => self.failures.push(format!("validator {index} said what no node says: {line}")),
                Heard::Closed if node.ended => {}
                Heard::Closed => {
                    node.ended = true;
                    let status = node.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                    self.failures.push(format!("validator {index} ended early: {status}"));
                }
            }
        }
    }

    fn stop(&mut self) {
        self.tell_all(&ToNode::Stop);
        let deadline = Instant::now() + STOP_WITHIN;
        while self.nodes.iter().any(|node| !node.ended) && Instant::now() < deadline {
            self.hear(Duration::from_millis(50));
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if !node.ended {
                self.failures
                    .push(format!("validator {index} did not stop within {} s and was killed", STOP_WITHIN.as_secs()));
            }
        }
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.input = None;
            if !node.ended {
                let _ = node.child.kill();
            }
            let _ = node.child.wait();
        }
    }
}
