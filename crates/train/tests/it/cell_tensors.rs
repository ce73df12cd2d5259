//! Tests of `CellTensors`: batches, targets and the order of an epoch.

use malaria_dataset::{Cells, Index, Loaded, Sample};
use malaria_train::{CellTensors, Error};
use tch::Device;

use crate::support::{ALL, cells};

#[test]
fn batches_are_bytes_over_255_in_channels_last_memory() {
    let pixels: Vec<u8> = (0..2 * 2 * 2 * 3).map(|i| i * 10).collect();
    let cells = Cells::from_pixels(2, pixels.clone()).unwrap();
    let cells = CellTensors::new(&cells, &[1, 0], Device::Cpu).unwrap();
    let (images, labels) = cells.batch(&[1, 0, 1]).unwrap();
    assert_eq!(images.size(), [3, 3, 2, 2]);
    assert_eq!(images.stride(), [12, 1, 6, 3], "channels innermost in memory");
    assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [0, 1, 0]);
    // Green of the second cell's upper right pixel: cell 1, row 0, column 1, channel 1.
    let expected = f64::from(pixels[12 + 3 + 1]) / 255.0;
    assert!((images.double_value(&[0, 1, 0, 1]) - expected).abs() < 1e-7);
    assert!(cells.batch(&[2]).unwrap_err().to_string().contains("indices below 2"));
    assert!(CellTensors::new(&Cells::from_pixels(2, pixels).unwrap(), &[0], Device::Cpu).is_err());
}

#[test]
fn targets_need_one_value_per_class_and_cell() {
    let mut cells = cells();
    for count in [0, ALL, 2 * ALL - 1, 3 * ALL] {
        assert!(matches!(cells.set_targets(&vec![0.5; count], 2), Err(Error::Cells { .. })), "{count}");
    }
    cells.set_targets(&[0.5; 2 * ALL], 2).unwrap();
}

#[test]
fn every_epoch_has_its_own_permutation_of_the_cells() {
    let cells: Vec<usize> = (100..164).collect();
    let first = malaria_train::epoch_order(&cells, 1, 0);
    assert_eq!(first, malaria_train::epoch_order(&cells, 1, 0));
    assert_ne!(first, malaria_train::epoch_order(&cells, 1, 1));
    assert_ne!(first, malaria_train::epoch_order(&cells, 2, 0));
    assert_ne!(first, cells);
    let mut sorted = first;
    sorted.sort_unstable();
    assert_eq!(sorted, cells);
}

#[test]
fn loaded_cells_have_their_classes() {
    let sample = |class| Sample { path: String::new(), class, patient: None, subset: None, file: None };
    let classes = vec!["a".to_owned(), "b".to_owned()];
    let samples = [1, 0, 1].map(sample).into();
    let loaded = Loaded {
        index: Index { root: "cells".into(), classes, samples, ignored: Vec::new() },
        cells: Cells::from_pixels(2, (0..36).collect()).unwrap(),
        fingerprints: Vec::new(),
        dimensions: Vec::new(),
        skipped: Vec::new(),
    };
    let cells = CellTensors::of(&loaded, Device::Cpu).unwrap();
    let (_, labels) = cells.batch(&[0, 1, 2]).unwrap();
    assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [1, 0, 1]);
}
