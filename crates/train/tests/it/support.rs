//! Images that a small network learns in a second, and runs on them.

use std::sync::atomic::{AtomicBool, Ordering};

use malaria_dataset::Cells;
use malaria_train::{CellTensors, Checkpoints, Error, Event, Network, Outcome, RunOptions, Subsets, Trainer};
use tch::{Device, Tensor};

/// Side of the images.
pub(crate) const SIZE: usize = 16;
pub(crate) const TRAIN: usize = 24;
pub(crate) const ALL: usize = 36;

/// Images of two classes: a horizontal or a vertical bright bar on a noisy background.
pub(crate) fn cells() -> CellTensors<'static> {
    mirrored(false, false)
}

/// The same images, mirrored left to right or top to bottom.
pub(crate) fn mirrored(horizontally: bool, vertically: bool) -> CellTensors<'static> {
    let place = |i: usize, mirror: bool| if mirror { SIZE - 1 - i } else { i };
    let classes: Vec<usize> = (0..ALL).map(|i| i % 2).collect();
    let mut pixels = Vec::with_capacity(ALL * SIZE * SIZE * 3);
    for (i, &class) in classes.iter().enumerate() {
        for y in 0..SIZE {
            for x in 0..SIZE {
                let (x, y) = (place(x, horizontally), place(y, vertically));
                let across = if class == 0 { y } else { x };
                let noise = (i * 31 + y * 17 + x * 7) * 2_654_435_761 % 60;
                let bar = if across.abs_diff(5 + i % 6) < 2 { 150 } else { 20 };
                pixels.extend([bar + noise as u8, bar, 40]);
            }
        }
    }
    // Leaked, so that tests do not have to keep the cells that the tensors borrow.
    let cells = Box::leak(Box::new(Cells::from_pixels(SIZE as u32, pixels).unwrap()));
    CellTensors::new(cells, &classes, Device::Cpu).unwrap()
}

pub(crate) fn subsets() -> (Vec<usize>, Vec<usize>) {
    ((0..TRAIN).collect(), (TRAIN..ALL).collect())
}

pub(crate) fn run<N: Network>(trainer: &mut Trainer<N>, options: RunOptions<'_>) -> Result<Outcome, Error> {
    let (train, validation) = subsets();
    trainer.run(&cells(), Subsets { train: &train, validation: &validation }, options)
}

/// Options of a run that only saves checkpoints.
pub(crate) fn saving(checkpoints: &Checkpoints) -> RunOptions<'_> {
    RunOptions { checkpoints: Some(checkpoints), ..RunOptions::default() }
}

/// Runs until an event, and a number of batches up to it, at which `stop_at` holds. Returns the number of batches done.
pub(crate) fn interrupt<N: Network>(
    trainer: &mut Trainer<N>,
    checkpoints: &Checkpoints,
    stop_at: impl Fn(&Event, usize) -> bool,
) -> usize {
    let (stop, mut batches) = (AtomicBool::new(false), 0);
    let mut listener = |event: &Event| {
        batches += usize::from(matches!(event, Event::Batch { .. }));
        stop.fetch_or(stop_at(event, batches), Ordering::Relaxed);
    };
    let options = RunOptions { stop: Some(&stop), listener: Some(&mut listener), ..saving(checkpoints) };
    assert_eq!(run(trainer, options).unwrap(), Outcome::Interrupted);
    batches
}

#[track_caller]
pub(crate) fn assert_same(a: &[(String, Tensor)], b: &[(String, Tensor)]) {
    assert_eq!(a.len(), b.len());
    for ((name, a), (_, b)) in a.iter().zip(b) {
        assert_eq!(a, b, "{name} differs");
    }
}
