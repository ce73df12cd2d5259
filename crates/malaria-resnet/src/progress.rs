//! Progress events, and the context that a caller passes to a run.

use std::{path::Path, sync::atomic::AtomicBool};

use malaria_dataset::Fold;
use malaria_train::Event;

use crate::data_summary::DataSummary;

/// Progress of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Synthetic cells are being generated.
    GeneratingCells {
        /// Cells generated.
        done: usize,
        /// Cells to generate.
        total: usize,
    },
    /// Images are being decoded.
    Decoding {
        /// Images decoded.
        done: usize,
        /// Images to decode.
        total: usize,
    },
    /// The data set is loaded and split.
    Data(&'a DataSummary),
    /// The network is ready for training.
    Model {
        /// Name of the device and precision of the training steps.
        device: &'a str,
        /// Trainable parameters of the network.
        parameters: i64,
        /// Epochs trained before, if a run is resumed.
        epochs_done: usize,
    },
    /// An event of the training loop.
    Training(&'a Event),
    /// A fold of a cross-validation starts or resumes.
    Fold {
        /// The fold.
        fold: Fold,
        /// Its run directory.
        path: &'a Path,
    },
    /// The final model of a cross-validation, which is trained on every cell, starts or resumes.
    FinalModel {
        /// Its run directory.
        path: &'a Path,
    },
    /// The teacher is classifying the training cells.
    Teaching {
        /// Cells classified.
        done: usize,
        /// Cells to classify.
        total: usize,
    },
    /// Labelled cells are being classified for an evaluation.
    Testing {
        /// Cells classified.
        done: usize,
        /// Cells to classify.
        total: usize,
    },
    /// Unlabelled images are being classified.
    Classifying {
        /// Images classified.
        done: usize,
        /// Images to classify.
        total: usize,
    },
    /// Cells in photographs are being counted.
    Counting {
        /// Photographs done.
        done: usize,
        /// Photographs to count.
        total: usize,
    },
}

/// Receives progress events; called from several threads while images are decoded.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// The context that a caller passes to a run besides its settings.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The command that started the run, which the run directory records.
    pub command: &'a str,
    /// Checked after every batch, and while the teacher classifies: once true, the run saves its state and returns.
    pub stop: &'a AtomicBool,
    /// Receives progress events.
    pub listener: Listener<'a>,
}
