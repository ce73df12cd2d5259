//! This library's side of `cargo xtask bench --peers`, which speaks the protocol of `tools/peers/worker.py`.
//!
//! On its own it measures nothing; see `cargo bench --bench forward` and the other benches.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::print_stdout, reason = "answers on standard output")]

use std::{
    env, fs,
    hint::black_box,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use malaria_resnet::{
    Recipe, augment,
    dataset::{Cells, Index, LoadOptions, Protocol, ResizePolicy, load},
    edge,
    libtorch::{AdaptiveWaits, keep_freed_memory},
    model::{Fused, load_weights},
    train::{CellTensors, Sgd, TrainConfig},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, no_grad};

const SIDE: i64 = 64;

/// Does a measurement on request and returns the answer.
type Peer = Box<dyn FnMut(&Order) -> Result<Value>>;

#[derive(Deserialize)]
struct Order {
    task: String,
    #[serde(default)]
    batch: usize,
    #[serde(default)]
    seconds: f64,
    cells: Option<PathBuf>,
    images: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, mode, name, threads, weights, onnx, ..] = &arguments[..] else { return Ok(()) };
    if mode != "--serve" {
        return Ok(());
    }
    keep_freed_memory();
    tch::set_num_threads(threads.parse().context("the number of threads")?);
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let mut peer: Peer = match name.as_str() {
        "malaria-resnet" => library(Path::new(weights))?,
        "malaria-edge" => runtime(Path::new(onnx))?,
        other => bail!("no peer `{other}`"),
    };
    for line in io::stdin().lock().lines() {
        let answer = peer(&serde_json::from_str(&line?)?)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn library(weights: &Path) -> Result<Peer> {
    let (model, _) = load_weights(weights, Device::Cpu)?;
    let fused = model.fused(Kind::Float).unwrap();
    let recipe = malaria_resnet::ExperimentConfig::new(Recipe::Tutorial, Protocol::Random, 0).train;
    let mut optimizer = Sgd::new(recipe.sgd, &model)?;
    Ok(Box::new(move |order| match order.task.as_str() {
        "forward" => {
            let images = images(order.batch);
            Ok(repeat(order, || drop(black_box(fused.forward(&images).unwrap()))))
        }
        "train" | "train in bfloat16" => {
            let kind = if order.task == "train" { Kind::Float } else { Kind::BFloat16 };
            let images = images(order.batch).to_kind(kind);
            let labels = Tensor::arange(order.batch as i64, (Kind::Int64, Device::Cpu)).remainder(2);
            let mut waits = AdaptiveWaits::default();
            Ok(repeat(order, || {
                let loss = model.forward(&images, true).unwrap().cross_entropy_for_logits(&labels);
                optimizer.step(&loss, 0.0).expect("a loss with a gradient");
                black_box(loss.double_value(&[]));
                waits.adapt();
            }))
        }
        "pipeline" => {
            let folder = order.cells.as_deref().context("no folder of cells")?;
            let (start, mut cells) = (Instant::now(), 0);
            while cells == 0 || start.elapsed().as_secs_f64() < order.seconds {
                cells += pipeline(folder, &recipe)?;
            }
            Ok(json!({"cells": cells, "seconds": start.elapsed().as_secs_f64()}))
        }
        "probabilities" => probabilities(&fused, order.images.as_deref().context("no images")?),
        _ => Ok(json!({"cannot": true})),
    }))
}

/// Uses one thread per core of this process's affinity mask, which run.py sets.
fn runtime(onnx: &Path) -> Result<Peer> {
    let model = edge::Model::load(&fs::read(onnx)?)?;
    Ok(Box::new(move |order| match order.task.as_str() {
        "forward" => {
            let pixels = (0..order.batch * 64 * 64 * 3).map(|i| (i * i % 251) as u8).collect();
            let cells = Cells::from_pixels(SIDE as u32, pixels)?;
            let all: Vec<usize> = (0..order.batch).collect();
            Ok(repeat(order, || {
                let probabilities = model.probabilities(&cells, &all, &mut |_| {});
                black_box(probabilities.expect("cells of the model's size"));
            }))
        }
        _ => Ok(json!({"cannot": true})),
    }))
}

/// Random images `[batch, 3, 64, 64]`, channels_last like batches.
fn images(batch: usize) -> Tensor {
    Tensor::rand([batch as i64, SIDE, SIDE, 3], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2])
}

/// Repeats `step` for the requested time, after two repetitions that are not counted.
fn repeat(order: &Order, mut step: impl FnMut()) -> Value {
    step();
    step();
    let (start, mut cells) = (Instant::now(), 0);
    while cells == 0 || start.elapsed().as_secs_f64() < order.seconds {
        step();
        cells += order.batch;
    }
    json!({"cells": cells, "seconds": start.elapsed().as_secs_f64()})
}

/// Reads, resizes and augments every image of `folder` as in the tutorial; returns their number.
fn pipeline(folder: &Path, recipe: &TrainConfig) -> Result<usize> {
    let options =
        LoadOptions { size: SIDE as u32, resize: ResizePolicy::StretchNearest, ..LoadOptions::default() };
    let loaded = load(Index::open(folder)?, options)?;
    let cells = CellTensors::of(&loaded, Device::Cpu)?;
    let order: Vec<usize> = (0..cells.len()).collect();
    for indices in order.chunks(recipe.batch_size) {
        let (images, _) = cells.batch(indices)?;
        let _ = black_box(augment::batch(&images, &recipe.augment, 0, 0, indices)?);
    }
    Ok(cells.len())
}

fn probabilities(fused: &Fused, images: &Path) -> Result<Value> {
    let logits = no_grad(|| fused.forward(&Tensor::read_npy(images).expect("a NumPy file")).unwrap());
    let probabilities = logits.softmax(1, Kind::Float);
    let rows: Vec<Vec<f64>> = Vec::try_from(&probabilities)?;
    Ok(json!({"probabilities": rows}))
}
