//! Trained classifiers without libtorch: ONNX export, and a runtime in pure Rust.
//!
//! [`export`] writes a weights file of `malaria-classifier` as ONNX with float32, float16 or int8 weights; [`Model`] runs such files.
//! Pictures are decoded by `malaria-dataset`, as in training. The program `malaria-edge` is built on this library.
//!
//! ```no_run
//! use std::path::Path;
//! use malaria_classifier::WeightsFile;
//! use malaria_edge::{Model, WeightFormat, export};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = WeightsFile::read(Path::new("runs/fast/weights.safetensors"))?;
//! std::fs::write("model.onnx", export(&weights, WeightFormat::Int8, None)?)?;
//!
//! let model = Model::load(&std::fs::read("model.onnx")?)?;
//! println!("classes {:?}", model.description().classes);
//! # Ok(())
//! # }
//! ```

mod batch_norm;
mod error;
mod expand;
mod export;
mod graph;
mod model;
mod onnx;
mod quantization_loss;
mod tensor;
mod weight_format;

pub use error::{Error, Result};
pub use export::{Origin, export, replace_description};
pub use model::Model;
pub use quantization_loss::{CellCalls, LossEstimate, QuantizationLoss, quantization_loss};
pub use weight_format::WeightFormat;
