//! Damaged run directories are refused or read without a panic and in bounded memory.

use std::{collections::HashMap, fs, path::Path, sync::atomic::AtomicBool};

use malaria_fuzz::alone;
use malaria_resnet::{
    Classifier, Context, CrossValidationOptions, ExperimentConfig, ImageConfig, Recipe, RunDir,
    cross_validate,
    dataset::{Protocol, ResizePolicy, SyntheticConfig, write_synthetic},
    fold_dir,
    model::{ResNet, ResNetConfig},
    train::ImageSize,
};
use safetensors::SafeTensors;
use tch::Device;

const MEMORY: usize = 16 << 20;

fn settings() -> Vec<Vec<u8>> {
    let recipes = [(Recipe::Fast, Protocol::Patient), (Recipe::Tutorial, Protocol::Random)];
    let config =
        |(recipe, protocol)| serde_json::to_vec(&ExperimentConfig::new(recipe, protocol, 3)).unwrap();
    recipes.map(config).to_vec()
}

/// A folder with the settings of a run in it.
fn run_dir(folder: &Path) -> RunDir {
    fs::write(folder.join("config.json"), &settings()[0]).unwrap();
    RunDir::open(folder).unwrap()
}

const HISTORY: &str = "epoch,learning_rate,image_size,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,cpu_seconds
1,0.1,32,0.69,0.5,,,3.5,6.9
2,0.05,64,0.41,0.93,0.4,0.92,3.4,6.8
";

#[test]
fn config() {
    let alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    alone.fuzz("config", &settings(), MEMORY, |bytes| {
        fs::write(&path, bytes).unwrap();
        match RunDir::open(folder.path()).unwrap().config() {
            Ok(mut config) => {
                // An accepted config yields finite rates, and flags can still change it.
                let last = config.train.epochs * 1000 - 1;
                for step in [0, last / 2, last] {
                    let rate = config.train.schedule.rate_at(step, 1000, config.train.epochs);
                    assert!(rate.is_finite() && rate >= 0.0, "{rate}");
                }
                config.set_epochs(3);
                let _ = config.check();
                config.adapt_to_synthetic_cells();
            }
            Err(error) => assert!(error.to_string().contains("config.json"), "{error}"),
        }
    });
}

#[test]
fn history() {
    let alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = run_dir(folder.path());
    let sample = HISTORY.as_bytes().to_vec();
    fs::write(run.history_path(), &sample).unwrap();
    assert_eq!(run.history().unwrap().len(), 2);
    alone.fuzz("history", &[sample], MEMORY, |bytes| {
        fs::write(run.history_path(), bytes).unwrap();
        if let Err(error) = run.history() {
            assert!(error.to_string().contains("history.csv"), "{error}");
        }
    });
}

#[test]
fn classifier() {
    let alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = run_dir(folder.path());
    let config =
        ResNetConfig { stages: vec![1], filters: vec![2, 4], input_size: 16, ..ResNetConfig::tutorial() };
    let model = ResNet::new(&config, 0, Device::Cpu).unwrap();
    let image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
    let classes = ["Parasitized", "Uninfected"].map(str::to_owned).to_vec();
    Classifier::new(model, classes, 0, image).unwrap().save(&run.weights_path()).unwrap();
    let sample = fs::read(run.weights_path()).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&sample).unwrap();
    let (key, description) = metadata.metadata().clone().unwrap().into_iter().next().unwrap();
    let tensors = SafeTensors::deserialize(&sample).unwrap();
    let describe = |description: String| {
        let metadata = HashMap::from([(key.clone(), description)]);
        let bytes = safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap();
        fs::write(run.weights_path(), bytes).unwrap();
    };
    // An input size that the network does not accept.
    describe(description.replace("\"pixels\":16", "\"pixels\":4294967295"));
    let said = Classifier::load(run.path(), Device::Cpu).err().unwrap().to_string();
    assert!(said.contains("weights.safetensors") && said.contains("4294967295 px"), "{said}");
    alone.fuzz("classifier", &[description.into_bytes()], MEMORY, |input| {
        describe(String::from_utf8_lossy(input).into_owned());
        match Classifier::load(run.path(), Device::Cpu) {
            Ok(classifier) => {
                assert_eq!(
                    i64::from(classifier.description.image.pixels),
                    classifier.model().config().input_size
                );
                assert_eq!(classifier.description.classes.len() as i64, classifier.model().config().classes);
            }
            Err(error) => assert!(error.to_string().contains("weights.safetensors"), "{error}"),
        }
    });
}

/// Tests of more than ten seconds each, which `cargo xtask test --quick` leaves out.
mod slow {
    use super::*;

    /// The files that folds are pooled from.
    #[test]
    fn folds() {
        let alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let (cells, out) = (folder.path().join("cells"), folder.path().join("cv"));
        let synthetic = SyntheticConfig { cells: 48, patients: 8, ..SyntheticConfig::default() };
        write_synthetic(&cells, &synthetic, &|_| {}).unwrap();
        let mut config = ExperimentConfig::new(Recipe::Fast, Protocol::Patient, 1);
        config.data = Some(cells);
        config.image = ImageConfig { pixels: 16, resize: ResizePolicy::Stretch };
        config.model =
            ResNetConfig { stages: vec![1], filters: vec![2, 4], input_size: 16, ..ResNetConfig::tutorial() };
        config.train.epochs = 1;
        config.train.image_sizes = vec![ImageSize { from_epoch: 1, pixels: 16 }];
        let pool = || {
            let options = CrossValidationOptions { folds: 2, only: None, final_model: false, out: &out };
            let context = Context { command: "", stop: &AtomicBool::new(false), listener: &|_| {} };
            cross_validate(&config, options, context)
        };
        assert!(pool().unwrap().metrics.is_some());
        for name in ["predictions.csv", "metrics.json"] {
            let path = fold_dir(&out, 2).join(name);
            let sample = fs::read(&path).unwrap();
            // Undamaged files also yield a page and its plots, which take more memory.
            alone.fuzz(name, std::slice::from_ref(&sample), 8 * MEMORY, |bytes| {
                fs::write(&path, bytes).unwrap();
                match pool() {
                    Ok(summary) => assert_eq!(summary.metrics.unwrap().n_test, 48),
                    Err(error) => assert!(error.to_string().contains("fold-2"), "{error}"),
                }
            });
            fs::write(&path, sample).unwrap();
        }
    }
}
