//! Forward-pass throughput of the tutorial's network: cells a second, as it is trained (eager) and as it is put to use
//! (fused), by batch size, on one thread and on all; then how long one cell takes.
//!
//! `cargo bench --bench forward`

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

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

/// Single cells whose times the percentiles are of.
const SINGLE_CELLS: usize = 300;

fn forward(criterion: &mut Criterion) {
    keep_freed_memory();
    let device = DeviceChoice::Auto.resolve().expect("there is always a CPU");
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, device).expect("the tutorial's network is sound");
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
                bencher.iter(|| waited_for(eager(black_box(images))));
            });
            group.bench_with_input(BenchmarkId::new("fused", batch), &images, |bencher, images| {
                bencher.iter(|| waited_for(fused.forward(black_box(images)).unwrap()));
            });
        }
        group.finish();
        let one = images(1, device);
        println!("one cell, {}", describe(device));
        print_percentiles("eager", || waited_for(eager(&one)));
        print_percentiles("fused", || waited_for(fused.forward(&one).unwrap()));
        println!();
    }
}

/// NHWC => NCHW as a view, as the loader gives it.
fn images(batch: i64, device: Device) -> Tensor {
    Tensor::rand([batch, 64, 64, 3], (Kind::Float, device)).permute([0, 3, 1, 2])
}

/// Reading a value waits for a GPU to finish.
fn waited_for(logits: Tensor) -> Tensor {
    if logits.device() == Device::Cpu { logits } else { logits.to_device(Device::Cpu) }
}

fn print_percentiles(name: &str, look: impl Fn() -> Tensor) {
    let milliseconds = |elapsed: Duration| elapsed.as_secs_f64() * 1e3;
    let timed = |_| {
        let start = Instant::now();
        let _ = black_box(look());
        milliseconds(start.elapsed())
    };
    let mut times: Vec<f64> = (0..SINGLE_CELLS).map(timed).collect();
    times.sort_by(f64::total_cmp);
    let [median, rare] = [0.5, 0.99].map(|share| times[((times.len() - 1) as f64 * share).round() as usize]);
    println!("  {name}: p50 {median:.2} ms, p99 {rare:.2} ms");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward
}
criterion_main!(benches);
