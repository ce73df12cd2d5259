//! From files to training batches: decoding, resizing and augmentation, separately and together, for PNG and WebP.
//!
//! `cargo bench --bench pipeline`

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]

use std::{hint::black_box, path::Path};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use malaria_resnet::{
    Recipe,
    augment::{self, AugmentConfig, LaboratoryConfig},
    dataset::{
        Index, LoadOptions, Loaded, Protocol, ResizePolicy, SyntheticConfig, load, read_image, resize,
        synthetic_cell,
    },
    libtorch::keep_freed_memory,
    train::CellTensors,
};
use rayon::prelude::*;
use tch::Device;

/// Number of synthetic cells, about 100 to 150 px per side like NLM's.
const CELLS: usize = 512;
const SIZE: u32 = 64;
const BATCH: usize = 32;

fn pipeline(criterion: &mut Criterion) {
    keep_freed_memory();
    let mut group = criterion.benchmark_group("data path");
    group.throughput(Throughput::Elements(CELLS as u64));
    for extension in ["png", "webp"] {
        let folder = tempfile::tempdir().expect("a writable folder");
        write_cells(folder.path(), extension);
        let index = Index::open(folder.path()).expect("two classes of images");
        let paths: Vec<_> = index.samples.iter().map(|sample| index.root.join(&sample.path)).collect();
        group.bench_function(format!("read and decode {extension}"), |bencher| {
            bencher.iter(|| {
                paths.par_iter().for_each(|path| drop(black_box(read_image(path).expect("a valid image"))));
            });
        });
        group.bench_function(format!("read, decode and resize {extension}"), |bencher| {
            bencher.iter(|| black_box(loaded(&index)));
        });
        group.bench_function(format!("all, from {extension} to augmented batches"), |bencher| {
            bencher.iter(|| augment_all(&tensors(&loaded(&index)), 0.0));
        });
        if extension == "png" {
            let images: Vec<_> =
                paths.iter().map(|path| read_image(path).expect("a valid image").0).collect();
            group.bench_function("resize", |bencher| {
                bencher.iter(|| {
                    images
                        .par_iter()
                        .for_each(|image| drop(black_box(resize(image, SIZE, ResizePolicy::Stretch))));
                });
            });
            let loaded = loaded(&index);
            let cells = tensors(&loaded);
            for (name, strength) in [("augment", 0.0), ("augment, with other laboratories", 1.0)] {
                group.bench_function(name, |bencher| bencher.iter(|| augment_all(&cells, strength)));
            }
        }
    }
    group.finish();
}

fn write_cells(folder: &Path, extension: &str) {
    let config = SyntheticConfig::default();
    for class in ["Parasitized", "Uninfected"] {
        std::fs::create_dir(folder.join(class)).expect("a writable folder");
    }
    (0..CELLS).into_par_iter().for_each(|cell| {
        let cell = synthetic_cell(&config, cell).expect("valid default settings");
        let class = if cell.parasitized { "Parasitized" } else { "Uninfected" };
        let path = folder.join(class).join(cell.file_name).with_extension(extension);
        cell.image.save(path).expect("a writable folder");
    });
}

fn loaded(index: &Index) -> Loaded {
    load(index.clone(), LoadOptions { size: SIZE, ..LoadOptions::default() }).expect("valid images")
}

fn tensors(loaded: &Loaded) -> CellTensors<'_> {
    CellTensors::of(loaded, Device::Cpu).expect("memory for a few cells")
}

/// Augments one epoch of batches by the recipe `fast`, with other laboratories' stains and cameras at this strength.
fn augment_all(cells: &CellTensors<'_>, strength: f64) {
    let recipe = malaria_resnet::ExperimentConfig::new(Recipe::Fast, Protocol::Random, 0).train;
    let config = AugmentConfig { laboratory: LaboratoryConfig::of_strength(strength), ..recipe.augment };
    let order: Vec<usize> = (0..cells.len()).collect();
    for indices in order.chunks(BATCH) {
        let (images, _) = cells.batch(indices).expect("indices in range");
        let augmented = augment::batch(&images, &config, 0, 0, indices);
        let _ = black_box(augmented.expect("one index per image"));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = pipeline
}
criterion_main!(benches);
