//! Exported files against ONNX Runtime; `fixtures/onnxruntime.py` writes the reference.

use std::{fs, path::PathBuf};

use malaria_classifier::WeightsFile;
use malaria_dataset::Cells;
use malaria_edge::{Model, WeightFormat, export};

const SIDE: u32 = 32;
const CELLS: i64 = 12;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A disc, with a dark spot where `number` is odd, as in the generator.
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

fn exported(format: WeightFormat) -> Vec<u8> {
    export(&WeightsFile::read(&fixture("tiny.safetensors")).unwrap(), format, None).unwrap()
}

fn probabilities(onnx: &[u8]) -> Vec<f64> {
    let cells = Cells::from_pixels(SIDE, (0..CELLS).flat_map(cell).collect()).unwrap();
    let all: Vec<usize> = (0..cells.len()).collect();
    Model::load(onnx).unwrap().probabilities(&cells, &all, &mut |_| {}).unwrap()
}

#[test]
fn the_runtime_matches_onnx_runtime() {
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture("onnxruntime.json")).unwrap()).unwrap();
    for format in WeightFormat::ALL {
        let rows: Vec<Vec<f64>> = serde_json::from_value(expected[format.to_string()].clone()).unwrap();
        let expected = rows.concat();
        let found = probabilities(&exported(format));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            // The order of float32 sums differs.
            assert!((found - expected).abs() < 1e-5, "{format}: {found} against {expected}");
        }
        let extreme = |f: fn(f64, f64) -> f64| expected.iter().step_by(2).copied().reduce(f).unwrap();
        assert!(extreme(f64::max) - extreme(f64::min) > 0.3, "the cells are too similar for a test");
    }
}

#[test]
fn the_exported_files_equal_those_tested_with_onnx_runtime() {
    for format in WeightFormat::ALL {
        let known = fs::read(fixture(&format!("tiny-{format}.onnx"))).unwrap();
        assert!(
            known == exported(format),
            "tiny-{format}.onnx differs from the export: export it again, then run onnxruntime.py"
        );
    }
}
