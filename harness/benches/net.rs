//! Loopback throughput and round trip of the transport, both ends in this process.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shardmark::net::{Endpoint, Handle, Identity, Inbox, Lane, Peer, Roster, TransportConfig};
use shardmark::types::ValidatorIndex;
use tokio::runtime::Runtime;

const ONE: ValidatorIndex = ValidatorIndex(1);

fn pair(runtime: &Runtime) -> [(Handle, Inbox); 2] {
    let _guard = runtime.enter();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = [0, 1].map(|index| {
        let identity = Identity::generate().expect("identity");
        let certificate = identity.certificate().to_vec();
        let endpoint = Endpoint::bind(any, identity, TransportConfig::default()).expect("bind");
        let peer = Peer { index: ValidatorIndex(index), address: endpoint.local_addr(), certificate };
        (endpoint, peer)
    });
    let roster = Roster { peers: bound.iter().map(|(_, peer)| peer.clone()).collect() };
    let nodes = bound.map(|(endpoint, peer)| endpoint.start(&roster, peer.index).expect("start"));
    for (handle, _) in &nodes {
        runtime.block_on(handle.wait_connected(Duration::from_secs(10))).expect("connection");
    }
    nodes
}

/// Sends `count` frames as fast as the queue takes them; returns when all have arrived.
async fn stream(from: &Handle, to: &mut Inbox, frame: &Bytes, count: u64) {
    let sending = async {
        for _ in 0..count {
            while from.send(ONE, Lane::Chunks, frame.clone()).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let receiving = async {
        for _ in 0..count {
            to.recv().await.expect("a frame");
        }
    };
    tokio::join!(sending, receiving);
}

fn net(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("runtime");
    let [(sender, mut back), (answerer, mut inbox)] = pair(&runtime);

    let mut group = criterion.benchmark_group("net/throughput");
    for frame_bytes in [128, 4 << 10, 64 << 10, 1 << 20] {
        let frame = Bytes::from(vec![7; frame_bytes]);
        let count = (64 << 20) / frame_bytes.max(512) as u64;
        group.throughput(Throughput::Bytes(count * frame_bytes as u64)).sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(frame_bytes), |bencher| {
            bencher.iter(|| runtime.block_on(stream(&sender, &mut inbox, &frame, count)));
        });
    }
    group.finish();

    criterion.bench_function("net/round-trip/128", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..rounds {
                    sender.send(ONE, Lane::Consensus, vec![7; 128]).expect("room");
                    let frame = inbox.recv().await.expect("a frame");
                    answerer.send(ValidatorIndex(0), Lane::Consensus, frame.bytes).expect("room");
                    back.recv().await.expect("an answer");
                }
                started.elapsed()
            })
        });
    });
}

criterion_group!(benches, net);
criterion_main!(benches);
