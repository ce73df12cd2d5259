//! What a run tells its caller while it works.

use std::{path::Path, sync::atomic::AtomicBool};

use malaria_dataset::Fold;
use malaria_train::Event;

use crate::summary::DataSummary;

/// What a run tells its listener.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Cells are being drawn, since no real ones were given.
    Drawing {
        /// Cells drawn.
        done: usize,
        /// Cells to draw.
        total: usize,
    },
    /// Pictures are being read.
    Decoding {
        /// Pictures read.
        done: usize,
        /// Pictures to read.
        total: usize,
    },
    /// What was found, and how it was divided.
    Data(&'a DataSummary),
    /// Training can begin.
    Model {
        /// Where tensors live, in words.
        device: &'a str,
        /// Trainable values of the network.
        parameters: i64,
        /// Epochs done before, where a run goes on.
        epochs_done: usize,
    },
    /// Training goes on.
    Training(&'a Event),
    /// A fold of a cross-validation begins, or goes on.
    Fold {
        /// Which.
        fold: Fold,
        /// Its run directory.
        path: &'a Path,
    },
    /// After the folds of a cross-validation, the model that learns from every cell begins, or goes on.
    FinalModel {
        /// Its run directory.
        path: &'a Path,
    },
    /// The teacher is being asked of the training cells.
    Teaching {
        /// Cells it was asked of.
        done: usize,
        /// Cells to ask it of.
        total: usize,
    },
    /// The test set is being read.
    Testing {
        /// Cells seen.
        done: usize,
        /// Cells to see.
        total: usize,
    },
    /// Pictures of which nothing is known are being classified.
    Classifying {
        /// Cells classified.
        done: usize,
        /// Cells to classify.
        total: usize,
    },
}

/// Hears what a run tells; called from several threads while pictures are read.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// What a run needs from its caller besides its settings.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The command that started it, for the record.
    pub command: &'a str,
    /// Looked at after every batch, and while a teacher is asked: when it turns true, the run saves and returns.
    pub stop: &'a AtomicBool,
    /// Hears what happens.
    pub listener: Listener<'a>,
}
