//! The weights file: what goes in comes out, and what is not one is refused by name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use malaria_model::{Error, ResNet, ResNetConfig, load_weights, save_state, save_weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use tch::{Device, Kind, Tensor, no_grad};

fn config() -> ResNetConfig {
    ResNetConfig {
        classes: 3,
        stages: vec![1, 2],
        filters: vec![4, 8, 12],
        input_size: 16,
        ..ResNetConfig::tutorial()
    }
}

fn model(seed: u64) -> ResNet {
    ResNet::new(&config(), seed, Device::Cpu).unwrap()
}

fn metadata() -> BTreeMap<String, String> {
    let names = ["classes", "positive", "a", "b", "c", "d", "normalisation"];
    names.iter().map(|name| ((*name).to_owned(), format!("of \"{name}\" é"))).collect()
}

/// A folder of its own, and a good file in it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    save_weights(&path, &model(3), &metadata()).unwrap();
    (folder, path)
}

fn problem(error: Error) -> Error {
    match error {
        Error::WeightsFile { problem, .. } => *problem,
        other => panic!("without a path: {other}"),
    }
}

/// What loading a file of these bytes says. The message names the file.
fn refusal(bytes: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.bin");
    fs::write(&path, bytes).unwrap();
    let error = load_weights(&path, Device::Cpu).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    problem(error)
}

/// The good file's tensors and its header, changed by `spoil`, as bytes again.
fn rewritten(
    spoil: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>, &mut serde_json::Value),
) -> Vec<u8> {
    let (_folder, path) = saved();
    let bytes = fs::read(path).unwrap();
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

#[test]
fn weights_config_and_metadata_come_back() {
    let (_folder, path) = saved();
    let (loaded, found) = load_weights(&path, Device::Cpu).unwrap();
    assert_eq!(found, metadata());
    assert_eq!(loaded.config(), &config());
    for ((name, tensor), (other, expected)) in loaded.state().unwrap().iter().zip(model(3).state().unwrap()) {
        assert_eq!(*name, other);
        assert_eq!(*tensor, expected, "{name}");
    }
    assert!(loaded.parameters().iter().all(|parameter| parameter.tensor.requires_grad()));
    let images = Tensor::rand([2, 3, 16, 24], (Kind::Float, Device::Cpu));
    assert_eq!(loaded.forward(&images, false).unwrap(), model(3).forward(&images, false).unwrap());
}

#[test]
fn the_file_is_plain_and_its_bytes_are_reproducible() {
    let (folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for _ in 0..8 {
        save_weights(&path, &model(3), &metadata()).unwrap();
        assert!(fs::read(&path).unwrap() == bytes);
    }
    // A state taken from the model, in any order, is the same file.
    let mut state = model(3).state().unwrap();
    state.reverse();
    save_state(&path, &config(), &state, &metadata()).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left behind");

    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stem = file.tensor("stem.conv.weight").unwrap();
    assert_eq!((stem.dtype(), stem.shape()), (Dtype::F32, [4, 3, 5, 5].as_slice()));
    // Kernel [2, 1, 3, 4] stands at its row-major place, though in memory its channels are innermost.
    let offset = ((2 * 3 + 1) * 5 + 3) * 5 + 4;
    let value = f32::from_le_bytes(stem.data()[4 * offset..][..4].try_into().unwrap());
    assert_eq!(f64::from(value), model(3).parameters()[2].tensor.double_value(&[2, 1, 3, 4]));
}

#[test]
fn a_file_in_which_a_bit_has_turned_is_refused() {
    let spoiled = rewritten(|tensors, _| tensors.get_mut("head.dense.weight").unwrap().2[0] ^= 1);
    assert!(matches!(refusal(&spoiled), Error::Damaged { .. }));
    // One from before the digest was written still loads.
    let older = rewritten(|_, header| drop(header.as_object_mut().unwrap().remove("tensors_sha256")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    fs::write(&path, older).unwrap();
    load_weights(&path, Device::Cpu).unwrap();
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let (_folder, path) = saved();
    let bytes = fs::read(path).unwrap();
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
    let garbage = HashMap::from([("malaria-resnet".to_owned(), "{\"config\": 1}".to_owned())]);
    assert!(matches!(refusal(&serialize(view(), Some(garbage)).unwrap()), Error::Foreign { .. }));
}

#[test]
fn another_format_version_and_a_bad_config_are_refused() {
    let error = refusal(&rewritten(|_, header| {
        header["format"] = 2.into();
        header["config"] = "laid out another way".into();
    }));
    assert!(matches!(error, Error::FormatVersion { expected: 1, found: 2 }), "{error}");
    let error = refusal(&rewritten(|_, header| header["config"]["dropout"] = 0.5.into()));
    assert!(error.to_string().contains("dropout"), "{error}");
    let error = refusal(&rewritten(|_, header| header["config"]["bn_eps"] = 0.into()));
    assert!(matches!(error, Error::Config { field: "bn_eps", .. }), "{error}");
    // A config that asks for gigabytes is refused by the first shape that is not in the file.
    let error = refusal(&rewritten(|_, header| {
        header["config"]["filters"] = serde_json::json!([16384, 16384, 16384])
    }));
    assert!(matches!(error, Error::Shape { ref name, .. } if name == "stem.conv.weight"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let bias = "head.dense.bias";
    let error = refusal(&rewritten(|tensors, _| drop(tensors.remove(bias))));
    assert!(matches!(error, Error::MissingTensor { ref name, .. } if name == bias), "{error}");
    let error = refusal(&rewritten(|tensors, _| {
        let copy = tensors[bias].clone();
        tensors.insert("momentum".to_owned(), copy);
    }));
    assert!(matches!(error, Error::UnexpectedTensor { ref name } if name == "momentum"), "{error}");
    let error = refusal(&rewritten(|tensors, _| tensors.get_mut(bias).unwrap().1 = vec![3, 1]));
    assert_eq!(error.to_string(), "tensor `head.dense.bias`: expected shape [3], found [3, 1]");
    let error = refusal(&rewritten(|tensors, _| {
        tensors.insert(bias.to_owned(), (Dtype::F16, vec![3], vec![0; 6]));
    }));
    assert_eq!(error.to_string(), "tensor `head.dense.bias`: expected float32 elements, found F16");
    for bad in [f32::NAN, f32::INFINITY] {
        let error = refusal(&rewritten(|tensors, _| {
            tensors.get_mut(bias).unwrap().2[4..8].copy_from_slice(&bad.to_le_bytes());
        }));
        assert!(matches!(error, Error::NonFinite { ref name } if name == bias), "{error}");
    }
}

#[test]
fn a_failed_save_leaves_the_earlier_file() {
    let (folder, path) = saved();
    let before = fs::read(&path).unwrap();
    let diverged = model(3);
    let _ = no_grad(|| diverged.parameters()[0].tensor.shallow_clone().fill_(f64::NAN));
    let error = problem(save_weights(&path, &diverged, &metadata()).unwrap_err());
    assert!(matches!(error, Error::NonFinite { ref name } if name == "input_norm.weight"), "{error}");
    let error =
        problem(save_state(&path, &config(), &model(3).state().unwrap()[1..], &metadata()).unwrap_err());
    assert!(matches!(error, Error::MissingTensor { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_path_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent").join("weights.safetensors");
    let error = load_weights(&path, Device::Cpu).unwrap_err();
    assert!(
        error.to_string().contains("absent") && matches!(problem(error), Error::Io { action: "read", .. })
    );
    let error = save_weights(&path, &model(3), &metadata()).unwrap_err();
    assert!(error.to_string().contains("absent") && matches!(problem(error), Error::Io { .. }));
    assert!(load_weights(folder.path(), Device::Cpu).is_err());
}

#[cfg(unix)]
#[test]
fn the_file_is_as_readable_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = saved();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
