//! The transport over real sockets on loopback: honest traffic, hostile peers, and peers that come and go.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, and these helpers are part of them")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use rand::{Rng, RngExt, SeedableRng};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use shardmark::net::{
    Dropped, Endpoint, Error, FrameLimits, Handle, Identity, Inbound, Inbox, Lane, LinkConfig, Peer, PeerStats,
    Received, Roster, TransportConfig,
};
use shardmark::types::ValidatorIndex;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Small enough that a test reaches every limit.
fn small() -> TransportConfig {
    TransportConfig {
        stream_receive_window: 64 << 10,
        receive_window: 256 << 10,
        send_window: 256 << 10,
        queue_bytes: 256 << 10,
        keep_alive: 200,
        max_frame_bytes: FrameLimits { consensus: 10_000, chunks: 200_000, fetch: 200_000, transactions: 10_000 },
        ..TransportConfig::default()
    }
}

fn index(position: usize) -> ValidatorIndex {
    ValidatorIndex(position as u16)
}

fn bytes(len: usize) -> Vec<u8> {
    vec![0xab; len]
}

/// Validators that are bound and not started: a test may replace some by impostors.
struct Committee {
    identities: Vec<Identity>,
    endpoints: Vec<Option<Endpoint>>,
    roster: Roster,
}

impl Committee {
    fn bind(count: usize, config: &TransportConfig) -> Self {
        let identities: Vec<Identity> = (0..count).map(|_| Identity::generate().unwrap()).collect();
        let bind = |identity: &Identity| Some(Endpoint::bind(loopback(), identity.clone(), config.clone()).unwrap());
        let endpoints: Vec<_> = identities.iter().map(bind).collect();
        let peers =
            endpoints.iter().flatten().zip(&identities).enumerate().map(|(position, (endpoint, identity))| Peer {
                index: index(position),
                address: endpoint.local_addr(),
                certificate: identity.certificate().to_vec(),
            });
        Self { roster: Roster { peers: peers.collect() }, identities, endpoints }
    }

    fn start(&mut self, position: usize) -> (Handle, Inbox) {
        self.endpoints[position].take().unwrap().start(&self.roster, index(position)).unwrap()
    }

    fn start_all(&mut self) -> Vec<(Handle, Inbox)> {
        (0..self.endpoints.len()).map(|position| self.start(position)).collect()
    }

    fn address(&self, position: usize) -> SocketAddr {
        self.roster.peers[position].address
    }
}

async fn connected(nodes: &[(Handle, Inbox)]) {
    for (handle, _) in nodes {
        handle.wait_connected(PATIENCE).await.unwrap();
    }
}

async fn receive(inbox: &mut Inbox) -> Inbound {
    timeout(PATIENCE, inbox.recv()).await.expect("a frame in time").expect("an open transport")
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn peer_stats(handle: &Handle, peer: usize) -> PeerStats {
    handle.stats().peers.into_iter().find(|stats| stats.peer == index(peer)).unwrap()
}

/// A client of our own making, that believes any server: the other side's defences are on trial.
struct Impostor {
    connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

/// DER.
type CertificateAndKey<'a> = (&'a [u8], &'a [u8]);

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Impostor {
    /// Dials with this certificate and key, or with none. An error is the dialled side's refusal.
    async fn dial(
        to: SocketAddr,
        pair: Option<CertificateAndKey<'_>>,
        alpn: &[u8],
    ) -> Result<Self, quinn::ConnectionError> {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible));
        let mut tls = match pair {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivatePkcs8KeyDer::from(key.to_vec());
                let signer = rustls::crypto::ring::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key)).unwrap();
                // Unlike rustls's own constructor, this accepts a key that is not the certificate's.
                let certified = rustls::sign::CertifiedKey::new(vec![certificate.to_vec().into()], signer);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
            }
        };
        tls.alpn_protocols = vec![alpn.to_vec()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = quinn::Endpoint::client(loopback()).unwrap();
        let connection = endpoint.connect_with(config, to, "anything").unwrap().await?;
        Ok(Self { connection, _endpoint: endpoint })
    }

    async fn dial_as(to: SocketAddr, identity: &Identity) -> Self {
        Self::dial(to, Some((identity.certificate(), identity.private_key())), b"shardmark/1").await.unwrap()
    }

    /// Opens a stream and writes these bytes, lane header and all.
    async fn write(&self, bytes: &[u8]) -> quinn::SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn closed(&self) -> quinn::ConnectionError {
        timeout(PATIENCE, self.connection.closed()).await.expect("the other side to close")
    }
}

fn application_code(error: &quinn::ConnectionError) -> Option<u64> {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_every_size_arrive_whole_and_in_order_on_each_lane() {
    let config = small();
    let mut nodes = Committee::bind(2, &config).start_all();
    connected(&nodes).await;
    let sizes = |lane| {
        let limit = config.max_frame_bytes.get(lane) as usize;
        [0, 1, 3, 4, 1199, 4096, 4097, limit - 1, limit]
    };
    let frame = |lane: Lane, i: usize| -> Vec<u8> {
        (0..sizes(lane)[i]).map(|at| (at * 7 + i + lane as usize) as u8).collect()
    };
    let senders: Vec<Handle> = nodes.iter().map(|(handle, _)| handle.clone()).collect();
    let sending = async {
        for (from, to) in [(0, 1), (1, 0)] {
            for lane in Lane::ALL {
                for i in 0..9 {
                    // The largest frames together exceed a queue: a refusal is waited out, as none may be lost here.
                    until("room in the queue", || senders[from].send(index(to), lane, frame(lane, i)).is_ok()).await;
                }
            }
        }
    };
    let receiving = async {
        for to in [1, 0] {
            let mut next = [0; 4];
            for _ in 0..Lane::ALL.len() * 9 {
                let got = receive(&mut nodes[to].1).await;
                let i = &mut next[got.lane as usize];
                assert_eq!(got.from, index(1 - to));
                assert!(got.bytes == frame(got.lane, *i), "frame {i} of {:?}", got.lane);
                *i += 1;
            }
            assert_eq!(next, [9; 4]);
            assert!(nodes[to].1.try_recv().is_none());
        }
    };
    tokio::join!(sending, receiving);
    let stats = peer_stats(&nodes[0].0, 1);
    for lane in Lane::ALL {
        let bytes = sizes(lane).into_iter().sum::<usize>() as u64;
        assert_eq!((stats.lanes[lane].frames_sent, stats.lanes[lane].bytes_sent), (9, bytes));
        assert_eq!((stats.lanes[lane].frames_received, stats.lanes[lane].bytes_received), (9, bytes));
    }
    assert!(stats.link.udp_bytes_sent > 800_000 && stats.link.rtt_ns > Some(0), "{stats:?}");
    assert_eq!((stats.connections, stats.malformed_frames), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_all_hear_each_others_broadcasts() {
    let mut nodes = Committee::bind(4, &small()).start_all();
    connected(&nodes).await;
    for (i, (handle, _)) in nodes.iter().enumerate() {
        assert_eq!(handle.connected().len(), 3);
        assert_eq!(handle.broadcast(Lane::Consensus, vec![i as u8; 100]), 3);
        assert_eq!(handle.send(index(i), Lane::Consensus, vec![]), Err(Dropped::NoSuchPeer));
        assert_eq!(handle.send(index(4), Lane::Consensus, vec![]), Err(Dropped::NoSuchPeer));
    }
    for (i, (_, inbox)) in nodes.iter_mut().enumerate() {
        let mut heard = Vec::new();
        for _ in 0..3 {
            let frame = receive(inbox).await;
            assert_eq!(frame.bytes, vec![frame.from.0 as u8; 100]);
            heard.push(usize::from(frame.from.0));
        }
        heard.sort_unstable();
        assert_eq!(heard, (0..4).filter(|other| *other != i).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_whole_over_a_link_that_loses_a_tenth_and_delays_the_rest() {
    for delay in [Duration::ZERO, Duration::from_millis(2)] {
        let link = LinkConfig { loss: 0.1, delay, bits_per_s: None, seed: 4 };
        let mut nodes = Committee::bind(2, &TransportConfig { link, ..small() }).start_all();
        connected(&nodes).await;
        assert_eq!(nodes[0].0.stats().impaired.unwrap().datagrams, 0, "connections are made before");
        nodes.iter().for_each(|(handle, _)| handle.begin_impairment());
        for i in 0..20u8 {
            until("room in the queue", || nodes[0].0.send(index(1), Lane::Chunks, vec![i; 100_000]).is_ok()).await;
            let frame = receive(&mut nodes[1].1).await;
            assert!(frame.bytes == vec![i; 100_000]);
        }
        let (impaired, stats) = (nodes[0].0.stats().impaired.unwrap(), peer_stats(&nodes[0].0, 1));
        // 2 MB are at least 1,378 datagrams of the largest size. Sigma of a share of so many draws is 0.8%.
        let share = impaired.lost as f64 / impaired.datagrams as f64;
        assert!(impaired.datagrams > 1378 && (0.06..0.14).contains(&share), "{impaired:?}");
        assert!(stats.link.packets_lost > 0 && stats.connections == 1, "{stats:?}");
    }
    assert_eq!(Committee::bind(1, &small()).start_all()[0].0.stats().impaired, None);
}

#[test]
fn a_plain_thread_sends_and_receives() {
    let runtime = Runtime::new().unwrap();
    let guard = runtime.enter();
    let mut nodes = Committee::bind(2, &small()).start_all();
    drop(guard);
    runtime.block_on(connected(&nodes));
    let (_receiver, mut inbox) = nodes.remove(1);
    let thread = std::thread::spawn(move || inbox.recv_timeout(PATIENCE));
    nodes[0].0.send(index(1), Lane::Fetch, vec![1, 2, 3]).unwrap();
    let Received::Frame(frame) = thread.join().unwrap() else { panic!("no frame") };
    assert_eq!(&frame.bytes[..], [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_in_the_handshake_and_counted() {
    let mut committee = Committee::bind(2, &small());
    let mut nodes = committee.start_all();
    connected(&nodes).await;
    let (stranger, zero, one) = (Identity::generate().unwrap(), &committee.identities[0], &committee.identities[1]);
    let attempts: [(Option<CertificateAndKey<'_>>, &[u8]); 5] = [
        (Some((stranger.certificate(), stranger.private_key())), b"shardmark/1"),
        (None, b"shardmark/1"),
        // A pinned certificate without its key: the signature gives it away.
        (Some((zero.certificate(), stranger.private_key())), b"shardmark/1"),
        // The dialled validator's own certificate.
        (Some((one.certificate(), one.private_key())), b"shardmark/1"),
        (Some((zero.certificate(), zero.private_key())), b"shardmark/0"),
    ];
    for (i, (pair, alpn)) in attempts.into_iter().enumerate() {
        // In TLS 1.3 a client may believe itself connected before the server has seen its certificate.
        if let Ok(impostor) = Impostor::dial(committee.address(1), pair, alpn).await {
            let reason = impostor.closed().await;
            assert_eq!(application_code(&reason), None, "{i}: refused by TLS, not after it: {reason}");
        }
        until("the refusal to be counted", || nodes[1].0.stats().refused_handshakes == i as u64 + 1).await;
    }
    assert_eq!(peer_stats(&nodes[1].0, 0).connections, 1, "the honest peer was not disturbed");
    nodes[0].0.send(index(1), Lane::Consensus, vec![1]).unwrap();
    assert_eq!(receive(&mut nodes[1].1).await.from, index(0));
    assert!(nodes[1].1.try_recv().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_speaks_only_for_its_own_index() {
    let mut committee = Committee::bind(3, &small());
    let (handle, mut inbox) = committee.start(1);
    // Validator 0's certificate: whatever its frames say, they come from 0.
    let zero = Impostor::dial_as(committee.address(1), &committee.identities[0]).await;
    let _lane = zero.write(&[0, 0, 0, 0, 1, 2]).await;
    let frame = receive(&mut inbox).await;
    assert_eq!((frame.from, frame.lane, &frame.bytes[..]), (index(0), Lane::Consensus, &[2][..]));
    assert_eq!(handle.connected(), [index(0)]);
    // Validator 2's certificate is known, but 2 is dialled and never dials 1.
    let two = &committee.identities[2];
    let pair = Some((two.certificate(), two.private_key()));
    if let Ok(impostor) = Impostor::dial(committee.address(1), pair, b"shardmark/1").await {
        impostor.closed().await;
    }
    until("the refusal", || handle.stats().refused_handshakes == 1).await;
    assert_eq!(handle.connected(), [index(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_refuses_another_validator_at_the_address() {
    let mut committee = Committee::bind(3, &small());
    let honest = committee.roster.clone();
    // In validator 0's roster, 1 and 2 have changed places.
    committee.roster.peers[1].address = honest.peers[2].address;
    committee.roster.peers[2].address = honest.peers[1].address;
    let (zero, _inbox) = committee.start(0);
    committee.roster = honest;
    let _others = [committee.start(1), committee.start(2)];
    until("both dials to fail twice", || (1..3).all(|peer| peer_stats(&zero, peer).failed_dials >= 2)).await;
    assert!(zero.connected().is_empty());
    let missing = zero.wait_connected(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(missing.to_string(), "not connected in time to validators 1, 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bytes_cost_their_sender_the_connection_and_are_counted() {
    let config = small();
    let mut committee = Committee::bind(9, &config);
    let (node, mut inbox) = committee.start(7);
    let (_other, mut other_inbox) = committee.start(8);
    let over = |lane: u8, limit: u64| [&[lane][..], &(limit as u32 + 1).to_be_bytes()].concat();
    let limits = &config.max_frame_bytes;
    // Bytes of the streams that an attacker opens, and whether it ends them. Each attacker is another validator.
    let attacks: [(&str, Vec<Vec<u8>>, bool); 7] = [
        ("votes too long", vec![over(0, limits.consensus)], false),
        ("chunks too long", vec![over(1, limits.chunks)], false),
        ("the longest length", vec![vec![3, 0xff, 0xff, 0xff, 0xff]], false),
        ("an unknown lane", vec![vec![4, 0, 0, 0, 0]], false),
        ("a lane twice", vec![vec![2], vec![2]], false),
        ("a truncated frame", vec![vec![2, 0, 0, 0, 9, 1, 2, 3]], true),
        ("a truncated header", vec![vec![2, 0, 0]], true),
    ];
    for (i, (name, streams, end)) in attacks.into_iter().enumerate() {
        let attacker = Impostor::dial_as(committee.address(7), &committee.identities[i]).await;
        let mut open = Vec::new();
        for bytes in streams {
            open.push(attacker.write(&bytes).await);
        }
        if end {
            open.iter_mut().for_each(|stream| stream.finish().unwrap());
        }
        let reason = attacker.closed().await;
        assert_eq!(application_code(&reason), Some(2), "{name}: {reason}");
        assert_eq!(peer_stats(&node, i).malformed_frames, 1, "{name}");
        // The penalty: an immediate return is turned away.
        let back = Impostor::dial_as(committee.address(7), &committee.identities[i]).await;
        assert_eq!(application_code(&back.closed().await), Some(4), "{name}");
    }
    assert!(inbox.try_recv().is_none(), "nothing malformed reached the node");
    node.send(index(8), Lane::Consensus, vec![7]).unwrap();
    assert_eq!(receive(&mut other_inbox).await.from, index(7), "others are unaffected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_may_open_one_stream_a_lane_and_nothing_else() {
    let mut committee = Committee::bind(2, &small());
    let (handle, _inbox) = committee.start(1);
    let peer = Impostor::dial_as(committee.address(1), &committee.identities[0]).await;
    let mut lanes = Vec::new();
    for tag in 0..4 {
        lanes.push(peer.write(&[tag]).await);
    }
    until("the peer to be up", || !handle.connected().is_empty()).await;
    assert!(timeout(Duration::from_millis(200), peer.connection.open_uni()).await.is_err());
    assert!(timeout(Duration::from_millis(200), peer.connection.open_bi()).await.is_err());
    assert!(peer.connection.send_datagram(vec![1].into()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_costs_only_its_own_queue() {
    let mut committee = Committee::bind(3, &small());
    let (sender, _sender_inbox) = committee.start(1);
    let (_reader, mut reader_inbox) = committee.start(2);
    // Validator 0 opens its lane, so that it counts as connected, and never reads a byte.
    let sloth = Impostor::dial_as(committee.address(1), &committee.identities[0]).await;
    let _lane = sloth.write(&[0]).await;
    sender.wait_connected(PATIENCE).await.unwrap();

    let mut slowest = Duration::ZERO;
    for round in 0..100 {
        let started = Instant::now();
        let _ = sender.send(index(0), Lane::Chunks, bytes(100_000));
        slowest = slowest.max(started.elapsed());
        until("the reader's queue", || sender.send(index(2), Lane::Chunks, bytes(100_000)).is_ok()).await;
        assert_eq!(receive(&mut reader_inbox).await.bytes.len(), 100_000, "round {round}");
    }
    assert!(slowest < Duration::from_millis(500), "a send took {slowest:?}");
    let (stuck, fine) = (peer_stats(&sender, 0), peer_stats(&sender, 2));
    assert!(stuck.lanes.chunks.frames_dropped > 0);
    assert_eq!(stuck.lanes.chunks.bytes_dropped, stuck.lanes.chunks.frames_dropped * 100_000);
    assert!(stuck.connected && fine.connected);
    assert_eq!(fine.lanes.chunks.frames_sent, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_bulk_lane_does_not_hold_up_votes() {
    let mut nodes = Committee::bind(2, &small()).start_all();
    connected(&nodes).await;
    // The receiving node takes nothing while all bulk lanes fill: their inbox slots, windows and queues.
    for lane in [Lane::Chunks, Lane::Fetch, Lane::Transactions] {
        fill(&nodes[0].0, 1, lane).await;
    }
    nodes[0].0.send(index(1), Lane::Consensus, vec![42]).unwrap();
    until("the vote to arrive", || peer_stats(&nodes[1].0, 0).lanes.consensus.frames_received == 1).await;
    let first: Vec<Lane> = (0..2).map(|_| nodes[1].1.try_recv().unwrap().lane).collect();
    assert!(first.contains(&Lane::Consensus), "{first:?}");
}

/// Sends until everything on the way to a node that takes nothing is full, and stays full.
async fn fill(from: &Handle, to: usize, lane: Lane) {
    loop {
        while from.send(index(to), lane, bytes(9_000)).is_ok() {}
        sleep(Duration::from_millis(100)).await;
        if from.send(index(to), lane, bytes(9_000)).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_peer_does_not_starve_the_others() {
    let mut nodes = Committee::bind(3, &small()).start_all();
    connected(&nodes).await;
    fill(&nodes[0].0, 1, Lane::Transactions).await;
    nodes[2].0.send(index(1), Lane::Transactions, vec![1]).unwrap();
    until("the other's frame", || peer_stats(&nodes[1].0, 2).lanes.transactions.frames_received == 1).await;
    let position = (0..1000).position(|_| nodes[1].1.try_recv().unwrap().from == index(2)).unwrap();
    assert!(position <= 1, "the other's frame came after {position} of the flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_long_frames_are_not_even_queued() {
    let mut nodes = Committee::bind(2, &small()).start_all();
    connected(&nodes).await;
    assert_eq!(nodes[0].0.send(index(1), Lane::Consensus, bytes(10_001)), Err(Dropped::TooLong));
    nodes[0].0.send(index(1), Lane::Consensus, bytes(10_000)).unwrap();
    assert_eq!(receive(&mut nodes[1].1).await.bytes.len(), 10_000);
    assert_eq!(peer_stats(&nodes[0].0, 1).lanes.consensus.frames_dropped, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_punished_peer_loses_its_frames_and_may_come_back() {
    let mut nodes = Committee::bind(2, &small()).start_all();
    connected(&nodes).await;
    for _ in 0..3 {
        nodes[0].0.send(index(1), Lane::Consensus, vec![1]).unwrap();
    }
    until("the frames", || peer_stats(&nodes[1].0, 0).lanes.consensus.frames_received == 3).await;
    sleep(Duration::from_millis(20)).await;
    assert!(nodes[1].1.try_recv().is_some());
    nodes[1].0.disconnect(index(0), "bad vote");
    assert!(nodes[1].1.try_recv().is_none());
    until("the connection to end", || nodes[0].0.connected().is_empty()).await;
    until("the other end to see it", || nodes[1].0.connected().is_empty()).await;
    connected(&nodes).await;
    nodes[0].0.send(index(1), Lane::Consensus, vec![2]).unwrap();
    assert_eq!(&receive(&mut nodes[1].1).await.bytes[..], [2]);
    let stats = peer_stats(&nodes[1].0, 0);
    assert_eq!((stats.punished, stats.connections), (1, 2));
    // The dialling side punishes too.
    nodes[0].0.disconnect(index(1), "bad answer");
    until("the connection to end", || nodes[1].0.connected().is_empty()).await;
    until("the other end to see it", || nodes[0].0.connected().is_empty()).await;
    connected(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_for_an_absent_peer_leaves_when_it_comes() {
    let mut committee = Committee::bind(2, &small());
    let (handle, _inbox) = committee.start(0);
    for i in 0..5 {
        handle.send(index(1), Lane::Fetch, vec![i]).unwrap();
    }
    sleep(Duration::from_millis(100)).await;
    let (_other, mut inbox) = committee.start(1);
    for i in 0..5 {
        assert_eq!(&receive(&mut inbox).await.bytes[..], [i]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_connection_did_not_take_leaves_on_the_next_one() {
    const FRAME: usize = 500_000;
    let mut committee = Committee::bind(2, &TransportConfig::default());
    let (node, _inbox) = committee.start(1);
    let first = Impostor::dial_as(committee.address(1), &committee.identities[0]).await;
    for i in 0..10 {
        node.send(index(0), Lane::Chunks, vec![i; FRAME]).unwrap();
    }
    // The impostor does not read: its window of 1.25 MB (quinn's default) takes two frames and half of the third.
    until("the window to fill", || peer_stats(&node, 0).link.udp_bytes_sent > 1_250_000).await;
    assert_eq!(peer_stats(&node, 0).lanes.chunks.frames_sent, 2);
    first.connection.close(0u32.into(), b"gone");

    let second = Impostor::dial_as(committee.address(1), &committee.identities[0]).await;
    let mut stream = loop {
        let mut stream = timeout(PATIENCE, second.connection.accept_uni()).await.unwrap().unwrap();
        let mut tag = [0];
        stream.read_exact(&mut tag).await.unwrap();
        if tag[0] == 1 {
            break stream;
        }
    };
    let mut frame = vec![0; 4 + FRAME];
    for i in 2..10 {
        stream.read_exact(&mut frame).await.unwrap();
        assert!(frame[..4] == (FRAME as u32).to_be_bytes() && frame[4..].iter().all(|byte| *byte == i), "frame {i}");
    }
    assert_eq!(peer_stats(&node, 0).lanes.chunks.frames_sent, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_flushes_the_queues_and_the_peer_reads_everything() {
    let mut nodes = Committee::bind(2, &TransportConfig::default()).start_all();
    connected(&nodes).await;
    for _ in 0..100 {
        nodes[0].0.send(index(1), Lane::Chunks, bytes(50_000)).unwrap();
    }
    assert_eq!(nodes[0].0.shutdown(PATIENCE).await, 0);
    assert_eq!(nodes[0].0.send(index(1), Lane::Chunks, vec![]), Err(Dropped::Closing));
    assert!(nodes[0].1.recv().await.is_none());
    for _ in 0..100 {
        assert_eq!(receive(&mut nodes[1].1).await.bytes.len(), 50_000);
    }
    until("the other to be gone", || nodes[1].0.connected().is_empty()).await;
    // To an absent peer nothing can be flushed: the deadline is not waited for, and the frame is reported.
    nodes[1].0.send(index(0), Lane::Chunks, vec![1]).unwrap();
    let started = Instant::now();
    assert_eq!(nodes[1].0.shutdown(PATIENCE).await, 1);
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// A node in a runtime of its own, which can be killed: nothing is flushed, nobody is told.
struct Mortal {
    runtime: Runtime,
    handle: Handle,
    inbox: Inbox,
}

impl Mortal {
    fn start(committee: &mut Committee, position: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let guard = runtime.enter();
        // The test bound the address first, and a killed life may hold it a moment longer.
        drop(committee.endpoints[position].take());
        let started = Instant::now();
        let endpoint = loop {
            match Endpoint::bind(committee.address(position), committee.identities[position].clone(), small()) {
                Ok(endpoint) => break endpoint,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let (handle, inbox) = endpoint.start(&committee.roster, index(position)).unwrap();
        drop(guard);
        Self { runtime, handle, inbox }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

#[test]
fn a_killed_and_restarted_peer_is_connected_again_whichever_side_dials() {
    let runtime = Runtime::new().unwrap();
    let guard = runtime.enter();
    let mut committee = Committee::bind(3, &small());
    let (survivor, mut inbox) = committee.start(1);
    drop(guard);
    for position in [0, 2] {
        let mut mortal = Mortal::start(&mut committee, position);
        mortal.handle.send(index(1), Lane::Consensus, vec![1]).unwrap();
        assert_eq!(&runtime.block_on(receive(&mut inbox)).bytes[..], [1]);
        survivor.send(index(position), Lane::Consensus, vec![2]).unwrap();
        assert_eq!(&mortal.inbox.blocking_recv().unwrap().bytes[..], [2]);

        mortal.kill();
        let killed = Instant::now();
        let mut mortal = Mortal::start(&mut committee, position);
        mortal.handle.send(index(1), Lane::Consensus, vec![3]).unwrap();
        assert_eq!(&runtime.block_on(receive(&mut inbox)).bytes[..], [3]);
        assert!(killed.elapsed() < Duration::from_secs(8), "that was the idle timeout: {:?}", killed.elapsed());
        survivor.send(index(position), Lane::Consensus, vec![4]).unwrap();
        assert_eq!(&mortal.inbox.blocking_recv().unwrap().bytes[..], [4]);
        let stats = peer_stats(&survivor, position);
        assert_eq!((stats.connections, stats.lanes.consensus.frames_received), (2, 2), "counts go on over reconnects");
        mortal.kill();
    }
}

#[tokio::test]
async fn a_busy_port_is_one_clear_error() {
    let taken = UdpSocket::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Endpoint::bind(address, Identity::generate().unwrap(), small()).err().unwrap().to_string();
    assert!(error.contains(&address.to_string()) && error.to_lowercase().contains("in use"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn binding_outside_a_runtime_is_an_error() {
    assert!(matches!(Endpoint::bind(loopback(), Identity::generate().unwrap(), small()), Err(Error::NoRuntime)));
}

#[tokio::test]
async fn a_roster_that_is_not_this_nodes_is_refused() {
    let mut committee = Committee::bind(2, &small());
    let endpoint = committee.endpoints[0].take().unwrap();
    assert!(matches!(endpoint.start(&committee.roster, index(1)), Err(Error::Roster(_))), "another's index");
    let endpoint = committee.endpoints[1].take().unwrap();
    assert!(matches!(endpoint.start(&committee.roster, index(7)), Err(Error::Roster(_))), "no index of the roster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_datagrams_are_harmless() {
    let mut committee = Committee::bind(2, &small());
    let mut nodes = committee.start_all();
    connected(&nodes).await;
    let socket = UdpSocket::bind(loopback()).unwrap();
    let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let mut datagram = vec![0; 1400];
    for i in 0..2000 {
        random.fill_bytes(&mut datagram);
        match i % 4 {
            // Looks like a QUIC 1 Initial, long enough to be answered; a short-header packet; an unknown version.
            0 => datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
            1 => datagram[0] = 0x40 | (datagram[0] & 0x3f),
            2 => datagram[..6].copy_from_slice(&[0xc3, 0xfa, 0xfa, 0xfa, 0xfa, 8]),
            _ => {}
        }
        let len = if i % 8 < 4 { 1400 } else { random.random_range(0..1400) };
        socket.send_to(&datagram[..len], committee.address(i / 2 % 2)).unwrap();
    }
    for (from, to) in [(0, 1), (1, 0)] {
        nodes[from].0.send(index(to), Lane::Consensus, vec![1]).unwrap();
        assert_eq!(&receive(&mut nodes[to].1).await.bytes[..], [1]);
        assert_eq!(peer_stats(&nodes[from].0, to).connections, 1);
    }
}
