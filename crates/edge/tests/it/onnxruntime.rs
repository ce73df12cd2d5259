//! Exported files against ONNX Runtime, by `fixtures/onnxruntime.py`.

use std::{fs, path::PathBuf};

use malaria_classifier::WeightsFile;
use malaria_dataset::Cells;
use malaria_edge::{Model, WeightFormat, export};

const SIDE: u32 = 32;
const CELLS: i64 = 12;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A disc, with a dark spot where `number` is odd; the same arithmetic stands in the generator.
fn cell(number: i64) -> impl Iterator<Item = u8> {
    let places = (0..i64::from(SIDE)).flat_map(|y| (0..i64::from(SIDE)).map(move |x| (x, y)));
    places.flat_map(move |(x, y)| {
        let inside = (x - 16).pow(2) + (y - 16).pow(2) < (9 + number / 2).pow(2);
        let spot = number % 2 == 1 && (x - 8 - number).pow(2) + (y - 14).pow(2) < 10 + 4 * number;
        match (inside, spot) {
            (false, _) => [0; 3],
            (true, true) => [90, 20, 150],
            (true, false) => [220 - 3 * number, 180 - 5 * number, 200 - 4 * number].map(|value| value as u8),
        }
    })
}

fn exported(precision: WeightFormat) -> Vec<u8> {
    export(&WeightsFile::read(&fixture("tiny.safetensors")).unwrap(), precision, None).unwrap()
}

fn probabilities(onnx: &[u8]) -> Vec<f64> {
    let cells = Cells::from_pixels(SIDE, (0..CELLS).flat_map(cell).collect()).unwrap();
    let all: Vec<usize> = (0..cells.len()).collect();
    Model::load(onnx).unwrap().probabilities(&cells, &all, &mut |_| {}).unwrap()
}

#[test]
fn the_runtime_says_what_onnx_runtime_says() {
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture("onnxruntime.json")).unwrap()).unwrap();
    for precision in WeightFormat::ALL {
        let rows: Vec<Vec<f64>> = serde_json::from_value(expected[precision.name()].clone()).unwrap();
        let expected = rows.concat();
        let found = probabilities(&exported(precision));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            // Float32 sums in another order.
            assert!((found - expected).abs() < 1e-5, "{precision}: {found} against {expected}");
        }
        let reach = |most: fn(f64, f64) -> f64| expected.iter().step_by(2).copied().reduce(most).unwrap();
        assert!(reach(f64::max) - reach(f64::min) > 0.3, "the cells are too much alike to test anything");
    }
}

#[test]
fn what_onnx_runtime_has_read_is_what_is_exported() {
    for precision in WeightFormat::ALL {
        let known = fs::read(fixture(&format!("tiny-{precision}.onnx"))).unwrap();
        assert!(
            known == exported(precision),
            "tiny-{precision}.onnx is not what `export` writes: run it, and onnxruntime.py"
        );
    }
}
