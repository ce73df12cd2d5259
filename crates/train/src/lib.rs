//! Training loop, learning-rate schedules, optimizer and checkpoints.
//!
//! It uses `malaria-dataset` (decoded cells), `malaria-augment` and `malaria-model`, and is used by the facade `malaria-resnet`.
//! A [`Trainer`] consists of a [`TrainConfig`] and a network: the ResNet of `malaria-model`, or any other [`Network`].
//! [`Trainer::run`] runs the training; with [`RunOptions`] it reports [`Event`]s to a listener and writes [`Checkpoints`],
//! from which a training run resumes exactly: the order of cells and their augmentation are functions of (seed, epoch, cell)
//! alone.
//!
//! ```
//! use malaria_train::{Interval, Schedule, Decay};
//!
//! // The tutorial's schedule, 50 epochs of 10 batches: linear from 0.1 to 0, constant within an epoch.
//! let schedule = Schedule::tutorial(0.1);
//! assert_eq!(schedule.rate_at(0, 10, 50), 0.1);
//! assert_eq!(schedule.rate_at(9, 10, 50), 0.1);
//! assert!((schedule.rate_at(250, 10, 50) - 0.05).abs() < 1e-12);
//! ```

mod cell_tensors;
mod checkpoint;
mod config;
mod error;
mod evaluate;
mod events;
mod gradients;
mod loss;
mod network;
mod optim;
mod run_state;
mod schedule;
mod trainer;

pub use cell_tensors::{CellTensors, epoch_order, resize};
pub use checkpoint::Checkpoints;
pub use config::{ImageSize, Precision, SelectBy, TrainConfig};
pub use error::Error;
pub use evaluate::{EvalOptions, Evaluation, evaluate_network};
pub use events::{EpochRecord, Event};
pub use network::{DecayGroup, Inference, Network, State, Trainable};
pub use optim::{L2, Sgd, SgdConfig};
pub use run_state::BestEpoch;
pub use schedule::{Decay, Interval, Schedule};
pub use trainer::{Outcome, RunOptions, Subsets, Trainer};
