//! A validator's socket, the tasks behind it, and the [`Handle`] through which the node uses them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::HmacKey;
use quinn::{
    ClientConfig, Connection, ConnectionError, ConnectionId, ConnectionIdGenerator, EndpointConfig, Incoming,
    Runtime as _, ServerConfig,
};
use rand::Rng as _;
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::inbox::{Inbox, Slots};
use super::link::Link as Impairment;
use super::session::{self, Link, Shared, code};
use super::stats::{EndpointCounters, Stats};
use super::{Dropped, Error, Identity, Lane, Roster, TransportConfig, tls};
use crate::types::ValidatorIndex;

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The first dials give up sooner: a peer that was not listening yet lost the first packet, and a new dial sends the
/// next one earlier than QUIC's own timer would.
const FIRST_DIAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Incoming handshakes at work at once; further ones are refused.
const HANDSHAKES: usize = 64;
/// How long a shutdown repeats its goodbye to peers that may have missed it.
const FAREWELL: Duration = Duration::from_millis(300);
/// Pause between dials: the first, doubled up to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A bound socket that speaks to nobody yet.
pub struct Endpoint {
    quinn: quinn::Endpoint,
    impairment: Option<Arc<Impairment>>,
    transport: Arc<quinn::TransportConfig>,
    config: TransportConfig,
    identity: Arc<Identity>,
    address: SocketAddr,
    /// Send and receive buffer, as the kernel reports them.
    udp_buffers: (u64, u64),
}

impl Endpoint {
    /// Binds `address`; port 0 lets the system choose.
    ///
    /// The transport's tasks run on the tokio runtime of the caller.
    ///
    /// # Errors
    /// A busy port, an invalid configuration or identity, or no runtime.
    pub fn bind(address: SocketAddr, identity: Identity, config: TransportConfig) -> Result<Self, Error> {
        tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let transport = Arc::new(config.quinn()?);
        identity.certified_key()?;
        let at = |source| Error::Bind { address, source };
        let (socket, udp_buffers) = bind_udp(address, &config).map_err(at)?;
        let endpoint_config = endpoint_config(&identity, &config)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let (quinn, impairment) = if config.link.is_plain() {
            (quinn::Endpoint::new(endpoint_config, None, socket, runtime), None)
        } else {
            let link = Impairment::new(runtime.wrap_udp_socket(socket).map_err(at)?, config.link.clone());
            let quinn = quinn::Endpoint::new_with_abstract_socket(endpoint_config, None, link.clone(), runtime);
            (quinn, Some(link))
        };
        let quinn = quinn.map_err(at)?;
        let address = quinn.local_addr().map_err(at)?;
        Ok(Self { quinn, impairment, transport, config, identity: identity.shared(), address, udp_buffers })
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept and to dial. `me` is this validator's index in `roster`.
    ///
    /// # Errors
    /// A roster that contradicts itself, or in which `me` has another certificate than this endpoint's.
    pub fn start(self, roster: &Roster, me: ValidatorIndex) -> Result<(Handle, Inbox), Error> {
        roster.check()?;
        let (own, mut peers): (Vec<_>, Vec<_>) = roster.peers.iter().cloned().partition(|peer| peer.index == me);
        match own.first() {
            None => return Err(Error::Roster(format!("validator {me} is not in it"))),
            Some(own) if own.certificate != self.identity.certificate() => {
                return Err(Error::Roster(format!("validator {me} has another certificate than this node")));
            }
            Some(_) => {}
        }
        peers.sort_by_key(|peer| peer.index);

        let mut dials = Vec::new();
        for (position, peer) in peers.iter().enumerate().filter(|(_, peer)| peer.index > me) {
            let mut client = ClientConfig::new(Arc::new(tls::client(&self.identity, peer.certificate.clone())?));
            client.transport_config(self.transport.clone());
            dials.push((position, client));
        }
        let callers = peers.iter().filter(|peer| peer.index < me).map(|peer| peer.certificate.clone());
        let mut server = ServerConfig::with_crypto(Arc::new(tls::server(&self.identity, callers)?));
        server.transport_config(self.transport.clone()).migration(false);
        let certificates =
            peers.iter().enumerate().map(|(position, peer)| (peer.certificate.clone(), position)).collect();

        let queue_bytes = usize::try_from(self.config.queue_bytes).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            me,
            limits: self.config.max_frame_bytes.clone(),
            inbox: Arc::new(Slots::new(peers.iter().map(|peer| peer.index).collect(), queue_bytes)),
            links: peers.into_iter().map(|peer| Link::new(peer, queue_bytes)).collect(),
            counters: EndpointCounters::default(),
            closing: AtomicBool::new(false),
            writers: watch::Sender::new(0),
            changes: watch::Sender::new(0),
        });
        self.quinn.set_server_config(Some(server));
        tokio::spawn(accept(shared.clone(), self.quinn.clone(), certificates));
        for (position, client) in dials {
            tokio::spawn(dial(shared.clone(), self.quinn.clone(), client, position));
        }
        let inbox = Inbox::new(shared.inbox.clone());
        let Self { quinn, impairment, address, udp_buffers, .. } = self;
        let inner = Inner { shared, quinn, impairment, address, udp_buffers };
        Ok((Handle { inner: Arc::new(inner) }, inbox))
    }
}

/// A UDP socket with the configured buffers, and the sizes that the kernel says it has.
fn bind_udp(address: SocketAddr, config: &TransportConfig) -> std::io::Result<(std::net::UdpSocket, (u64, u64))> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    let size = |bytes: u64| usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    if let Some(bytes) = size(config.udp_send_buffer) {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = size(config.udp_receive_buffer) {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let granted = (socket.send_buffer_size()? as u64, socket.recv_buffer_size()? as u64);
    Ok((socket.into(), granted))
}

/// Settings that belong to the socket. The reset key comes from the identity: a validator that was killed and came back
/// can then tell its peers that their old connections are dead, instead of letting them wait for the idle timeout.
fn endpoint_config(identity: &Identity, config: &TransportConfig) -> Result<EndpointConfig, Error> {
    let mut endpoint = EndpointConfig::new(Arc::new(ResetKey(identity.derived_key("shardmark QUIC stateless reset"))));
    endpoint.cid_generator(|| Box::new(RandomIds));
    let largest = config.max_mtu.max(endpoint.get_max_udp_payload_size().try_into().unwrap_or(u16::MAX));
    endpoint.max_udp_payload_size(largest).map_err(|error| Error::Config(error.to_string()))?;
    Ok(endpoint)
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0).update(data).finalize_xof().fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        // blake3's comparison takes constant time.
        let signature = signature.try_into().map_err(|_| quinn::crypto::CryptoError)?;
        if blake3::keyed_hash(&self.0, data) == blake3::Hash::from_bytes(signature) {
            Ok(())
        } else {
            Err(quinn::crypto::CryptoError)
        }
    }
}

/// Connection ids without structure. quinn's default ones carry a checksum under a key of the process, so a restarted
/// validator would not answer packets of its earlier life at all.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; 8];
        rand::rng().fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Takes connections from validators with a lower index, and refuses everybody else.
async fn accept(shared: Arc<Shared>, quinn: quinn::Endpoint, certificates: HashMap<Vec<u8>, usize>) {
    let certificates = Arc::new(certificates);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(incoming) = quinn.accept().await {
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            shared.counters.failed_handshakes.add(1);
            incoming.refuse();
            continue;
        };
        let (shared, certificates) = (shared.clone(), certificates.clone());
        tokio::spawn(async move {
            let accepted = handshake(&shared, incoming, &certificates).await;
            drop(permit);
            if let Some((position, connection)) = accepted {
                session::run(&shared, position, connection).await;
            }
        });
    }
}

async fn handshake(
    shared: &Shared,
    incoming: Incoming,
    certificates: &HashMap<Vec<u8>, usize>,
) -> Option<(usize, Connection)> {
    let from = incoming.remote_address();
    let connection = match timeout(HANDSHAKE_TIMEOUT, incoming.into_future()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(ConnectionError::TransportError(error))) if (0x100..0x200).contains(&u64::from(error.code)) => {
            // A TLS alert of ours (RFC 9001 section 4.8).
            tracing::debug!(%from, %error, "stranger refused");
            shared.counters.refused_handshakes.add(1);
            return None;
        }
        other => {
            tracing::debug!(%from, ?other, "handshake failed");
            shared.counters.failed_handshakes.add(1);
            return None;
        }
    };
    // The verifier admits callers only; this holds even if it did not.
    let Some(position) =
        sender(&connection, certificates).filter(|position| shared.links[*position].peer.index < shared.me)
    else {
        shared.counters.refused_handshakes.add(1);
        connection.close(code::REFUSED, b"not a caller");
        return None;
    };
    if shared.is_closing() || shared.links[position].barred().is_some() {
        connection.close(code::REFUSED, b"not now");
        return None;
    }
    Some((position, connection))
}

/// Position of the peer whose certificate the connection proved.
fn sender(connection: &Connection, certificates: &HashMap<Vec<u8>, usize>) -> Option<usize> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certificates.get(chain.first()?.as_ref()).copied()
}

/// Keeps a connection to one validator with a higher index.
async fn dial(shared: Arc<Shared>, quinn: quinn::Endpoint, client: ClientConfig, position: usize) {
    let link = &shared.links[position];
    let (mut pause, mut patience) = (BACKOFF.0, FIRST_DIAL_TIMEOUT);
    while !shared.is_closing() {
        if let Some(barred) = link.barred() {
            sleep(barred).await;
            continue;
        }
        let dialled =
            async { Some(quinn.connect_with(client.clone(), link.peer.address, tls::SERVER_NAME).ok()?.await) };
        let was_up = match timeout(patience, dialled).await {
            Ok(Some(Ok(connection))) => session::run(&shared, position, connection).await,
            failed => {
                tracing::debug!(peer = %link.peer.index, ?failed, "dial failed");
                false
            }
        };
        if was_up {
            (pause, patience) = (BACKOFF.0, FIRST_DIAL_TIMEOUT);
        } else if !shared.is_closing() {
            link.counters.failed_dials.add(1);
        }
        sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
        patience = (patience * 2).min(HANDSHAKE_TIMEOUT);
    }
}

/// The node's side of a running transport: cheap to clone, usable from any thread, never blocking where it is not async.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    quinn: quinn::Endpoint,
    impairment: Option<Arc<Impairment>>,
    address: SocketAddr,
    udp_buffers: (u64, u64),
}

impl Handle {
    /// From now on the configured link stands in the way, if there is one: connections are made before.
    pub fn begin_impairment(&self) {
        if let Some(link) = &self.inner.impairment {
            link.begin();
        }
    }

    /// Queues a frame for one peer, connected or not: what is queued leaves when the peer comes back.
    ///
    /// Frames of one lane arrive in order, each at most once; those under way when a connection is lost do not arrive.
    ///
    /// # Errors
    /// The frame was dropped and counted; everything else is unaffected.
    pub fn send(&self, to: ValidatorIndex, lane: Lane, frame: impl Into<Bytes>) -> Result<(), Dropped> {
        let position = self.inner.shared.position(to).ok_or(Dropped::NoSuchPeer)?;
        self.queue(&self.inner.shared.links[position], lane, frame.into())
    }

    /// Queues a frame for every peer, without copying it. Returns how many queues took it.
    pub fn broadcast(&self, lane: Lane, frame: impl Into<Bytes>) -> usize {
        let frame = frame.into();
        self.inner.shared.links.iter().filter(|link| self.queue(link, lane, frame.clone()).is_ok()).count()
    }

    fn queue(&self, link: &Link, lane: Lane, frame: Bytes) -> Result<(), Dropped> {
        let bytes = frame.len();
        let queued = if self.inner.shared.is_closing() {
            Err(Dropped::Closing)
        } else if bytes as u64 > self.inner.shared.limits.get(lane) {
            Err(Dropped::TooLong)
        } else if !link.queues[lane].push(frame) {
            Err(Dropped::Full)
        } else {
            Ok(())
        };
        if queued.is_err() {
            link.counters.lanes[lane].frames_dropped.add(1);
            link.counters.lanes[lane].bytes_dropped.add(bytes);
        }
        queued
    }

    /// Closes a peer's connection because of what its frames said, throws away what it sent and the node has not taken,
    /// and keeps it out for a second. Counted. Does nothing for an index that is no peer.
    pub fn disconnect(&self, peer: ValidatorIndex, reason: &str) {
        let shared = &self.inner.shared;
        let Some(position) = shared.position(peer) else { return };
        tracing::debug!(%peer, reason, "disconnected");
        shared.links[position].counters.punished.add(1);
        shared.links[position].punish(code::PUNISHED, reason);
        shared.inbox.discard(position);
    }

    /// The peers that are connected now: each has proved its certificate and accepted ours.
    pub fn connected(&self) -> Vec<ValidatorIndex> {
        self.peers(true)
    }

    fn peers(&self, up: bool) -> Vec<ValidatorIndex> {
        self.inner.shared.links.iter().filter(|link| link.is_up() == up).map(|link| link.peer.index).collect()
    }

    /// Waits until every peer is connected.
    ///
    /// # Errors
    /// The peers that were not, when the time was over.
    pub async fn wait_connected(&self, within: Duration) -> Result<(), Error> {
        let mut changes = self.inner.shared.changes.subscribe();
        let all = async { while !self.peers(false).is_empty() && changes.changed().await.is_ok() {} };
        match timeout(within, all).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::NotConnected(self.peers(false))),
        }
    }

    /// A snapshot of all counts.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        Stats {
            validator: shared.me,
            address: self.inner.address,
            udp_send_buffer: self.inner.udp_buffers.0,
            udp_receive_buffer: self.inner.udp_buffers.1,
            refused_handshakes: shared.counters.refused_handshakes.get(),
            failed_handshakes: shared.counters.failed_handshakes.get(),
            impaired: self.inner.impairment.as_ref().map(|link| link.counts()),
            peers: shared.links.iter().map(Link::snapshot).collect(),
        }
    }

    /// Refuses new frames, sends the queued ones to the peers that are connected and waits for their acknowledgement,
    /// then closes everything: `within`, and a moment to say goodbye. The inbox still gives what had arrived.
    ///
    /// Returns the number of frames that stayed in the queues.
    pub async fn shutdown(&self, within: Duration) -> usize {
        let shared = &self.inner.shared;
        shared.closing.store(true, SeqCst);
        for link in &shared.links {
            for lane in Lane::ALL {
                link.queues[lane].wake();
            }
        }
        // Fails only at the deadline: `shared` holds the sender.
        let _ = timeout(within, shared.writers.subscribe().wait_for(|writers| *writers == 0)).await;
        self.inner.quinn.close(code::SHUTDOWN, b"shutdown");
        // So that the peers hear of it before the process ends. Handshakes of strangers and of peers that gave up linger
        // in the endpoint for seconds, and are not worth waiting for.
        let _ = timeout(FAREWELL, self.inner.quinn.wait_idle()).await;
        shared.inbox.close();
        shared.links.iter().map(|link| Lane::ALL.map(|lane| link.queues[lane].len()).iter().sum::<usize>()).sum()
    }
}
