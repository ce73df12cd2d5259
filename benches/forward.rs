//! Forward-pass throughput of the tutorial's network: cells a second by batch size, on all threads.
//!
//! `cargo bench --bench forward`

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use malaria_resnet::{
    libtorch::{DeviceChoice, describe, keep_freed_memory},
    model::{ResNet, ResNetConfig},
};
use tch::{Device, Kind, Tensor};

fn forward(criterion: &mut Criterion) {
    keep_freed_memory();
    let device = DeviceChoice::Auto.resolve().expect("there is always a CPU");
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, device).expect("the tutorial's network is sound");
    let mut group = criterion.benchmark_group(format!("forward on {}", describe(device)));
    for batch in [1, 8, 32, 128] {
        // NHWC => NCHW as a view, as the loader gives it.
        let images = Tensor::rand([batch, 64, 64, 3], (Kind::Float, device)).permute([0, 3, 1, 2]);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::new("batch", batch), &images, |bencher, images| {
            bencher.iter(|| {
                let logits = tch::no_grad(|| model.forward(black_box(images), false));
                // Reading a value waits for a GPU to finish.
                if device == Device::Cpu { logits } else { logits.to_device(Device::Cpu) }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = forward
}
criterion_main!(benches);
