//! The weights file: round trip, and errors for foreign, damaged and other-version files.

use std::collections::{BTreeMap, HashMap};

use malaria_classifier::{Description, Error, ImageConfig, ResNetConfig, WeightTensor, Weights, WeightsFile};
use malaria_dataset::ResizePolicy;
use safetensors::{
    SafeTensors,
    tensor::{Dtype, TensorView, serialize},
};

/// Weights with two made-up tensors; the file does not check their names.
fn weights() -> Weights {
    let tensor = |values: &[f32]| WeightTensor { shape: vec![values.len()], values: values.to_vec() };
    Weights {
        network: ResNetConfig::tutorial(),
        description: Description {
            classes: ["Parasitized", "Uninfected"].map(str::to_owned).to_vec(),
            positive: "Parasitized".to_owned(),
            image: ImageConfig { pixels: 64, resize: ResizePolicy::Stretch },
            input: None,
            threshold: None,
            smear: None,
            training_patients: Vec::new(),
            temperature: Some(0.75),
        },
        tensors: BTreeMap::from([
            ("head.dense.bias".to_owned(), tensor(&[0.5, -0.25])),
            ("head.norm.weight".to_owned(), tensor(&[1.0, 2.0, 3.0])),
        ]),
    }
}

/// A valid file whose tensors and header were changed by `spoil`.
fn rewritten(
    spoil: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, &mut serde_json::Value),
) -> Vec<u8> {
    let bytes = weights().encode().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut header = serde_json::from_str(&header.metadata().as_ref().unwrap()["malaria-resnet"]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: BTreeMap<_, _> = file
        .iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    spoil(&mut tensors, &mut header);
    let views = tensors
        .iter()
        .map(|(name, (kind, shape, data))| (name, TensorView::new(*kind, shape.clone(), data).unwrap()));
    serialize(views, Some(HashMap::from([("malaria-resnet".to_owned(), header.to_string())]))).unwrap()
}

fn refusal(bytes: &[u8]) -> Error {
    WeightsFile::decode(bytes).unwrap_err()
}

#[test]
fn weights_round_trip_byte_for_byte() {
    let bytes = weights().encode().unwrap();
    let file = WeightsFile::decode(&bytes).unwrap();
    assert_eq!(file.weights, weights());
    assert_eq!(file.weights.encode().unwrap(), bytes);
    assert!(file.sha256.len() == 64 && file.sha256.chars().all(|digit| digit.is_ascii_hexdigit()));
    let other =
        Weights { description: Description { temperature: None, ..weights().description }, ..weights() };
    assert_ne!(WeightsFile::decode(&other.encode().unwrap()).unwrap().sha256, file.sha256);
}

#[test]
fn a_flipped_bit_is_detected() {
    let spoiled = rewritten(|tensors, _| tensors.get_mut("head.dense.bias").unwrap().2[0] ^= 1);
    assert!(matches!(refusal(&spoiled), Error::Damaged { .. }));
    WeightsFile::decode(&rewritten(|_, _| {})).unwrap();
}

#[test]
fn truncated_files_are_refused() {
    let bytes = weights().encode().unwrap();
    for end in [0, 1, 7, 8, 9, 200, bytes.len() / 2, bytes.len() - 1] {
        let error = refusal(&bytes[..end]);
        assert!(matches!(error, Error::NotSafetensors { .. }), "{end}: {error}");
    }
    let longer = [bytes.as_slice(), b"tail"].concat();
    assert!(matches!(refusal(&longer), Error::NotSafetensors { .. }));
}

#[test]
fn foreign_files_are_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0\x90\x91h6";
    assert!(matches!(refusal(png), Error::NotSafetensors { .. }));
    assert!(matches!(refusal(b"epoch,loss\n1,0.5\n"), Error::NotSafetensors { .. }));

    let data = [0; 16];
    let view = || [("bert.pooler.dense.bias", TensorView::new(Dtype::F32, vec![4], &data).unwrap())];
    let pt = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    for metadata in [None, Some(pt)] {
        let error = refusal(&serialize(view(), metadata).unwrap());
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("malaria-resnet"), "{error}");
    }
    let garbage = HashMap::from([("malaria-resnet".to_owned(), "{\"network\": 1}".to_owned())]);
    assert!(matches!(refusal(&serialize(view(), Some(garbage)).unwrap()), Error::Foreign { .. }));
}

#[test]
fn other_format_versions_are_refused_with_advice() {
    for (found, advice) in
        [(3, "an earlier version of this program wrote it; train again"), (5, "update this program")]
    {
        let error = refusal(&rewritten(|_, header| {
            header["format_version"] = found.into();
            header["network"] = "laid out another way".into();
        }));
        let words = format!("expected format version 4, found {found}: ");
        assert!(error.to_string().contains(&words) && error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn invalid_fields_of_network_and_description_are_named() {
    type Spoil = fn(&mut serde_json::Value);
    let cases: [(&str, Spoil); 10] = [
        // A convolution without channels would divide by their number.
        ("`filters` must be from 1 to 16384, found 0", |header| header["network"]["filters"][0] = 0.into()),
        ("`filters` must be multiples of 4 after the stem's, found 130", |header| {
            header["network"]["filters"][1] = 130.into();
        }),
        ("`stages (modules in one)`", |header| header["network"]["stages"][0] = 0.into()),
        ("`bn_eps`", |header| header["network"]["bn_eps"] = (-1e-5).into()),
        ("dropout", |header| header["network"]["dropout"] = 0.5.into()),
        ("`classes`: expected 3, as many as the network has outputs", |header| {
            header["network"]["classes"] = 3.into()
        }),
        ("`image.pixels`: expected 80", |header| header["network"]["input_size"] = 80.into()),
        ("`positive`: expected one of", |header| header["description"]["positive"] = "Infected".into()),
        ("`temperature`: expected a number above 0, found 0", |header| {
            header["description"]["temperature"] = 0.into()
        }),
        ("`image`: expected a size that cells can have", |header| {
            header["description"]["image"]["pixels"] = u32::MAX.into()
        }),
    ];
    for (words, spoil) in cases {
        let error = refusal(&rewritten(|_, header| spoil(header))).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn tensors_of_another_type_and_non_finite_values_are_named() {
    let bias = "head.dense.bias";
    let error = refusal(&rewritten(|tensors, _| {
        tensors.insert(bias.to_owned(), (Dtype::F16, vec![3], vec![0; 6]));
    }));
    assert_eq!(error.to_string(), "tensor `head.dense.bias`: expected float32 elements, found F16");
    for bad in [f32::NAN, f32::INFINITY] {
        let error = refusal(&rewritten(|tensors, _| {
            tensors.get_mut(bias).unwrap().2[4..8].copy_from_slice(&bad.to_le_bytes());
        }));
        assert!(matches!(error, Error::NonFinite { ref name } if name == bias), "{error}");
        let mut diverged = weights();
        diverged.tensors.get_mut(bias).unwrap().values[0] = bad;
        assert!(matches!(diverged.encode(), Err(Error::NonFinite { .. })));
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.bin");
    std::fs::write(&path, b"something else").unwrap();
    for path in [path.as_path(), &folder.path().join("absent.safetensors"), folder.path()] {
        let error = WeightsFile::read(path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
