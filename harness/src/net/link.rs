//! A network in the way: loss, delay and a rate, between QUIC and the socket.
//!
//! Each validator's datagrams pass its own [`Link`] on their way out and nothing on their way in, so a path has the loss of
//! its sender. Whether the n-th datagram of a validator is lost follows from the seed and n; what it is and to whom it goes
//! does not matter. Datagrams are drawn for one by one, also those that leave many at once (segmentation offload), and
//! what is left of such a batch still leaves at once. With a delay or a rate, batches wait in one queue and keep their
//! order, because QUIC takes reordering for loss; a limited rate also loses what would wait for long. Until
//! [`Link::begin`] everything passes untouched.
//!
//! Without any of these settings an endpoint has no link: its socket is quinn's own.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::lock;
use super::stats::Impaired;

/// What a validator's datagrams pass on their way out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// Part of the datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// Time that each takes on top of the real one; timers have steps of about 1 ms.
    pub delay: Duration,
    /// Bits a second that leave at most; a queue of 50 ms stands before it.
    pub bits_per_s: Option<u64>,
    /// What decides which datagrams are lost.
    pub seed: u64,
}

impl LinkConfig {
    /// Whether nothing stands in the way.
    pub fn is_plain(&self) -> bool {
        self.loss <= 0.0 && !self.waits()
    }

    fn waits(&self) -> bool {
        !self.delay.is_zero() || self.bits_per_s.is_some()
    }
}

/// How long a datagram may wait for its turn at a limited rate; what would wait longer is lost.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Link {
    socket: Arc<dyn AsyncUdpSocket>,
    config: LinkConfig,
    begun: AtomicBool,
    state: Mutex<State>,
    /// Wakes the pump.
    waiting: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// Datagrams drawn for.
    drawn: u64,
    /// Of these, lost.
    lost: u64,
    queue: VecDeque<Waiting>,
    /// When the last datagram will have left, at the limited rate.
    busy_until: Option<Instant>,
}

/// One batch on its way.
struct Waiting {
    due: Instant,
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    contents: Vec<u8>,
    segment_size: Option<usize>,
    src_ip: Option<IpAddr>,
}

impl Waiting {
    fn transmit(&self) -> Transmit<'_> {
        let Self { destination, ecn, ref contents, segment_size, src_ip, .. } = *self;
        Transmit { destination, ecn, contents, segment_size, src_ip }
    }
}

/// 64 random bits for place `n` of a sequence. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014 (SplitMix64, started `n` steps ahead).
fn draw(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Link {
    /// In front of `socket`. With a delay or a rate it runs a task on the caller's tokio runtime, as long as the link lives.
    pub fn new(socket: Arc<dyn AsyncUdpSocket>, config: LinkConfig) -> Arc<Self> {
        let waits = config.waits();
        let waiting = Arc::new(Notify::new());
        let begun = AtomicBool::new(false);
        let link = Arc::new(Self { socket, config, begun, state: Mutex::default(), waiting: waiting.clone() });
        if waits {
            tokio::spawn(pump(Arc::downgrade(&link), waiting));
        }
        link
    }

    /// From now on the network is as configured.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Datagrams so far.
    pub fn counts(&self) -> Impaired {
        let state = lock(&self.state);
        Impaired { datagrams: state.drawn, lost: state.lost }
    }

    fn is_lost(&self, n: u64) -> bool {
        // The upper 53 bits are a number in 0..1 with all the precision that a float has.
        ((draw(self.config.seed, n) >> 11) as f64) < self.config.loss * (1u64 << 53) as f64
    }

    /// Puts a batch in the queue, unless the wait for its turn would be too long.
    fn enqueue(&self, state: &mut State, batch: &Transmit<'_>) -> bool {
        let now = Instant::now();
        let mut leaves = now;
        if let Some(rate) = self.config.bits_per_s {
            let turn = state.busy_until.map_or(now, |until| until.max(now));
            if turn.saturating_duration_since(now) > MAX_WAIT {
                return false;
            }
            leaves = turn + Duration::from_secs_f64(8.0 * batch.contents.len() as f64 / rate.max(1) as f64);
            state.busy_until = Some(leaves);
        }
        state.queue.push_back(Waiting {
            due: leaves + self.config.delay,
            destination: batch.destination,
            ecn: batch.ecn,
            contents: batch.contents.to_vec(),
            segment_size: batch.segment_size,
            src_ip: batch.src_ip,
        });
        self.waiting.notify_one();
        true
    }
}

impl AsyncUdpSocket for Link {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.begun.load(Relaxed) {
            return self.socket.try_send(transmit);
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut state = lock(&self.state);
        let mut drawn = state.drawn;
        let mut kept = Vec::new();
        let mut lost = 0;
        for (place, datagram) in transmit.contents.chunks(segment).enumerate() {
            if self.is_lost(drawn) {
                if lost == 0 {
                    kept.extend_from_slice(&transmit.contents[..place * segment]);
                }
                lost += 1;
            } else if lost > 0 {
                kept.extend_from_slice(datagram);
            }
            drawn += 1;
        }
        let contents = if lost == 0 { transmit.contents } else { &kept };
        // Only the last datagram of a batch may be shorter, and it is the last of what is kept too.
        let segment_size = transmit.segment_size.filter(|&segment| contents.len() > segment);
        let Transmit { destination, ecn, src_ip, .. } = *transmit;
        let batch = Transmit { destination, ecn, contents, segment_size, src_ip };
        match (contents.is_empty(), self.config.waits()) {
            (true, _) => {}
            // A batch that a full socket did not take is offered again, and drawn for as if it had not been before.
            (false, false) => self.socket.try_send(&batch)?,
            (false, true) if self.enqueue(&mut state, &batch) => {}
            (false, true) => lost = drawn - state.drawn,
        }
        state.drawn = drawn;
        state.lost += lost;
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({:?})", self.config)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The pump finds nobody and ends.
        self.waiting.notify_one();
    }
}

/// Hands batches to the socket when they are due, in order.
async fn pump(link: Weak<Link>, waiting: Arc<Notify>) {
    loop {
        let Some(strong) = link.upgrade() else { return };
        let due = lock(&strong.state).queue.front().map(|batch| batch.due);
        match due {
            None => {
                drop(strong);
                waiting.notified().await;
            }
            Some(due) if due > Instant::now() => {
                drop(strong);
                sleep_until(due.into()).await;
            }
            Some(_) => {
                let Some(batch) = lock(&strong.state).queue.pop_front() else { continue };
                let mut poller = strong.socket.clone().create_io_poller();
                while matches!(strong.socket.try_send(&batch.transmit()), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
                {
                    // An error shows at the next attempt, and other errors lose the batch, as they do without a link.
                    let _ = std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    /// Notes what leaves: each batch as its datagrams.
    #[derive(Debug, Default)]
    struct Sink {
        left: Mutex<Vec<Vec<Vec<u8>>>>,
        full: AtomicBool,
    }

    impl AsyncUdpSocket for Sink {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            #[derive(Debug)]
            struct Always;
            impl UdpPoller for Always {
                fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(Ok(()))
                }
            }
            Box::pin(Always)
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            if self.full.load(Relaxed) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            assert_eq!((transmit.destination, transmit.ecn), (TO, Some(EcnCodepoint::Ect0)));
            let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
            assert!(
                transmit.segment_size.is_none_or(|segment| transmit.contents.len() > segment),
                "one datagram, a batch"
            );
            lock(&self.left).push(transmit.contents.chunks(segment).map(<[u8]>::to_vec).collect());
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(TO)
        }
    }

    fn link(config: LinkConfig) -> (Arc<Link>, Arc<Sink>) {
        let sink = Arc::new(Sink::default());
        (Link::new(sink.clone(), config), sink)
    }

    fn batch(contents: &[u8], segment_size: Option<usize>) -> Transmit<'_> {
        Transmit { destination: TO, ecn: Some(EcnCodepoint::Ect0), contents, segment_size, src_ip: None }
    }

    /// Numbers of the datagrams that leave of `count`, sent in batches of `size`; the last datagram of a batch is shorter.
    fn survivors(loss: f64, seed: u64, count: u32, size: u32) -> Vec<u32> {
        let (link, sink) = link(LinkConfig { loss, seed, ..LinkConfig::default() });
        link.begin();
        for first in (0..count).step_by(size as usize) {
            let mut contents: Vec<u8> =
                (first..first + size).flat_map(|n| [&n.to_be_bytes()[..], &[0]].concat()).collect();
            contents.pop();
            link.try_send(&batch(&contents, (size > 1).then_some(5))).unwrap();
        }
        assert_eq!(link.counts().datagrams, u64::from(count));
        let left: Vec<Vec<u8>> = lock(&sink.left).drain(..).flatten().collect();
        assert_eq!(link.counts().lost, u64::from(count) - left.len() as u64);
        let number = |datagram: Vec<u8>| u32::from_be_bytes(datagram[..4].try_into().unwrap());
        left.into_iter().map(number).collect()
    }

    #[test]
    fn a_tenth_of_the_datagrams_is_lost_one_by_one_and_the_rest_keeps_its_order() {
        let left = survivors(0.1, 1, 50_000, 10);
        // Within 5 standard deviations of a binomial draw: sqrt(50,000 x 0.1 x 0.9) is 67.
        assert!(left.len().abs_diff(45_000) < 335, "{}", left.len());
        assert!(left.is_sorted());
        let of_ten = |first: u32| left.iter().filter(|&&n| (first..first + 10).contains(&n)).count();
        let whole = (0..5000).filter(|first| of_ten(first * 10) == 10).count();
        // 0.9 to the tenth is 34.9%: batches are not lost as a whole.
        assert!(whole.abs_diff(1743) < 170, "{whole} batches of 5,000 are complete");
        assert!((0..5000).all(|first| of_ten(first * 10) > 0));
    }

    #[test]
    fn what_is_lost_follows_from_the_seed_and_not_from_the_batches() {
        assert_eq!(survivors(0.05, 7, 4000, 1).len(), survivors(0.05, 7, 4000, 8).len());
        assert_eq!(survivors(0.05, 7, 2560, 256), survivors(0.05, 7, 2560, 256));
        assert_ne!(survivors(0.05, 7, 2560, 256), survivors(0.05, 8, 2560, 256));
        assert_eq!(survivors(0.0, 7, 2560, 256).len(), 2560);
        assert_eq!(survivors(1.0, 7, 2560, 256).len(), 0);
    }

    #[test]
    fn a_full_socket_costs_no_datagram_and_no_draw() {
        let (link, sink) = link(LinkConfig { loss: 0.5, seed: 3, ..LinkConfig::default() });
        link.begin();
        sink.full.store(true, Relaxed);
        let contents: Vec<u8> = (0..40).collect();
        for _ in 0..3 {
            assert_eq!(link.try_send(&batch(&contents, Some(4))).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        assert_eq!(link.counts(), Impaired::default());
        sink.full.store(false, Relaxed);
        link.try_send(&batch(&contents, Some(4))).unwrap();
        let lost = (0..10).filter(|&n| link.is_lost(n)).count();
        assert_eq!(link.counts(), Impaired { datagrams: 10, lost: lost as u64 });
        assert_eq!(lock(&sink.left)[0].len(), 10 - lost);
    }

    #[test]
    fn before_the_run_begins_nothing_is_lost_and_nothing_waits() {
        let (link, sink) = link(LinkConfig { loss: 1.0, ..LinkConfig::default() });
        link.try_send(&batch(&[1; 12], Some(5))).unwrap();
        assert_eq!(*lock(&sink.left), [[vec![1; 5], vec![1; 5], vec![1; 2]]]);
        assert_eq!(link.counts(), Impaired::default());
    }

    #[tokio::test]
    async fn batches_wait_their_delay_and_keep_their_order() {
        let (link, sink) = link(LinkConfig { delay: Duration::from_millis(30), ..LinkConfig::default() });
        link.begin();
        for i in 0..20 {
            link.try_send(&batch(&[i; 12], Some(4))).unwrap();
        }
        assert!(lock(&sink.left).is_empty(), "nothing leaves at once");
        while lock(&sink.left).len() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let first: Vec<u8> = lock(&sink.left).iter().map(|batch| batch[0][0]).collect();
        assert_eq!(first, (0..20).collect::<Vec<u8>>());
        assert!(lock(&sink.left).iter().all(|batch| batch.len() == 3));
        assert_eq!(link.counts(), Impaired { datagrams: 60, lost: 0 });
    }

    #[tokio::test]
    async fn a_limited_rate_loses_what_would_wait_for_long() {
        // 1 Mbit/s: 6,250 bytes are 50 ms.
        let (link, sink) = link(LinkConfig { bits_per_s: Some(1_000_000), ..LinkConfig::default() });
        link.begin();
        for i in 0..100 {
            link.try_send(&batch(&[i; 1000], None)).unwrap();
        }
        let Impaired { datagrams, lost } = link.counts();
        // On a machine that stands still now and then more has left meanwhile.
        assert!(datagrams == 100 && (1..=93).contains(&lost), "{lost} lost");
        while (lock(&sink.left).len() as u64) < 100 - lost {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(lock(&sink.left).is_sorted(), "in order");
    }

    #[tokio::test]
    async fn the_pump_ends_with_its_link() {
        let (link, sink) = link(LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() });
        let waiting = link.waiting.clone();
        tokio::task::yield_now().await;
        drop(link);
        assert_eq!(Arc::strong_count(&sink), 1, "the socket is free");
        while Arc::strong_count(&waiting) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
