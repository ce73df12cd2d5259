//! Forward pass of the tutorial's network, eager and fused: cells per second by batch size, on one thread and on all, and the
//! latency of one cell.
//!
//! `cargo bench --bench forward`

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::print_stdout, reason = "prints latencies")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use malaria_resnet::{
    libtorch::{DeviceChoice, describe, keep_freed_memory},
    model::{ResNet, ResNetConfig},
};
use tch::{Device, Kind, Tensor};

/// Number of single cells for the percentiles of the latency.
const SINGLE_CELLS: usize = 300;

fn forward(criterion: &mut Criterion) {
    keep_freed_memory();
    let device = DeviceChoice::Auto.resolve().expect("there is always a CPU");
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, device).expect("a valid network");
    let all = tch::get_num_threads();
    let mut counts = vec![all];
    if device == Device::Cpu && all > 1 {
        counts.insert(0, 1);
    }
    for threads in counts {
        tch::set_num_threads(threads);
        let fused = model.fused(Kind::Float).unwrap();
        let eager = |images: &Tensor| tch::no_grad(|| model.forward(images, false).unwrap());
        let mut group = criterion.benchmark_group(format!("forward, {}", describe(device)));
        for batch in [1, 8, 32, 128] {
            let images = images(batch, device);
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_with_input(BenchmarkId::new("eager", batch), &images, |bencher, images| {
                bencher.iter(|| synchronised(eager(black_box(images))));
            });
            group.bench_with_input(BenchmarkId::new("fused", batch), &images, |bencher, images| {
                bencher.iter(|| synchronised(fused.forward(black_box(images)).unwrap()));
            });
        }
        group.finish();
        let one = images(1, device);
        println!("one cell, {}", describe(device));
        print_percentiles("eager", || synchronised(eager(&one)));
        print_percentiles("fused", || synchronised(fused.forward(&one).unwrap()));
        println!();
    }
}

/// Random images `[batch, 3, 64, 64]`, NHWC => NCHW as a view, like the loader's.
fn images(batch: i64, device: Device) -> Tensor {
    Tensor::rand([batch, 64, 64, 3], (Kind::Float, device)).permute([0, 3, 1, 2])
}

/// Waits for a GPU to finish, by reading the logits.
fn synchronised(logits: Tensor) -> Tensor {
    if logits.device() == Device::Cpu { logits } else { logits.to_device(Device::Cpu) }
}

fn print_percentiles(name: &str, forward: impl Fn() -> Tensor) {
    let milliseconds = |elapsed: Duration| elapsed.as_secs_f64() * 1e3;
    let timed = |_| {
        let start = Instant::now();
        let _ = black_box(forward());
        milliseconds(start.elapsed())
    };
    let mut times: Vec<f64> = (0..SINGLE_CELLS).map(timed).collect();
    times.sort_by(f64::total_cmp);
    let [p50, p99] = [0.5, 0.99].map(|share| times[((times.len() - 1) as f64 * share).round() as usize]);
    println!("  {name}: p50 {p50:.2} ms, p99 {p99:.2} ms");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward
}
criterion_main!(benches);
