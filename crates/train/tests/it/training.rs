//! Tests of the training loop with a small ResNet: learning, stopping, resuming, checkpoints, and refused settings.

use std::fs;

use malaria_augment::AugmentConfig;
use malaria_model::{ResNet, ResNetConfig};
use malaria_train::{
    CellTensors, Checkpoints, Decay, Error, EvalOptions, Event, ImageSize, Interval, L2, Network, Outcome,
    Precision, RunOptions, Schedule, SelectBy, SgdConfig, State, Subsets, TrainConfig, Trainer,
    evaluate_network,
};
use tch::{Device, Kind, no_grad};

use crate::support::{ALL, SIZE, TRAIN, assert_same, cells, interrupt, mirrored, run, saving, subsets};

fn model() -> ResNet {
    let config = ResNetConfig {
        stages: vec![1, 1],
        filters: vec![8, 16, 16],
        input_size: SIZE as i64,
        ..ResNetConfig::tutorial()
    };
    ResNet::new(&config, 3, Device::Cpu).unwrap()
}

/// Uses everything: averaging, Nesterov, smoothing, augmentation, a rate by step, a change of image size.
fn config() -> TrainConfig {
    TrainConfig {
        epochs: 5,
        batch_size: 5,
        schedule: Schedule {
            rate: 0.1,
            decay: Decay::OneCycle { rise: 0.3, start_divisor: 10.0, final_divisor: 10.0 },
            interval: Interval::Step,
            warmup_epochs: 0.0,
        },
        sgd: SgdConfig { momentum: 0.9, nesterov: true, l2: L2 { stem_and_dense: 1e-4, residual: 1e-4 } },
        label_smoothing: 0.1,
        augment: AugmentConfig { horizontal_flip: true, brightness: 0.2, ..AugmentConfig::none() },
        image_sizes: vec![
            ImageSize { from_epoch: 1, pixels: 8 },
            ImageSize { from_epoch: 3, pixels: SIZE as i64 },
        ],
        average_decay: Some(0.8),
        early_stopping: None,
        select_by: SelectBy::BestLoss,
        precision: Precision::Float32,
        seed: 7,
    }
}

fn constant(rate: f64, interval: Interval) -> Schedule {
    Schedule { rate, decay: Decay::Constant, interval, warmup_epochs: 0.0 }
}

fn trainer(config: TrainConfig) -> Trainer<ResNet> {
    Trainer::new(config, model()).unwrap()
}

/// A trainer after an uninterrupted run.
fn trained(config: TrainConfig) -> Trainer<ResNet> {
    let mut trainer = trainer(config);
    assert_eq!(run(&mut trainer, RunOptions::default()).unwrap(), Outcome::Finished);
    trainer
}

fn weights(trainer: Trainer<ResNet>) -> State {
    trainer.into_model().unwrap().state().unwrap()
}

#[test]
fn learns_in_float32() {
    learns(Precision::Float32);
}

#[test]
fn learns_in_bfloat16() {
    learns(Precision::Bfloat16);
}

/// Training and validation accuracy are high, and the returned model has the metrics of its epoch.
fn learns(precision: Precision) {
    let trainer = trained(TrainConfig { epochs: 8, precision, ..config() });
    let (first, last) = (&trainer.history()[0], trainer.history().last().unwrap());
    assert!(last.train_accuracy > 0.95 && last.validation_accuracy.unwrap() > 0.9, "{last:?}");
    assert!(last.validation_loss.unwrap() < first.validation_loss.unwrap());
    let best = trainer.best_epoch().unwrap();
    let (_, validation) = subsets();
    let model = trainer.into_model().unwrap();
    let mut done = Vec::new();
    let mut progress = |cells| done.push(cells);
    let options = EvalOptions { batch_size: 7, progress: Some(&mut progress), ..EvalOptions::default() };
    let evaluation = evaluate_network(model.inference().unwrap(), &cells(), &validation, options).unwrap();
    assert_eq!(done, [7, ALL - TRAIN]);
    assert!((evaluation.loss - best.validation_loss.unwrap()).abs() < 1e-6);
    assert_eq!(Some(evaluation.accuracy), best.validation_accuracy);
}

#[test]
fn a_resnet_is_evaluated_in_its_fused_form() {
    let (model, images) = (model(), cells().batch(&[0, 1, 2]).unwrap().0);
    let found = no_grad(|| model.inference().unwrap()(&images)).unwrap();
    let [fused, eager] =
        no_grad(|| [model.fused(Kind::Float).unwrap().forward(&images), model.forward(&images, false)]);
    assert_eq!(found, fused.unwrap());
    assert_ne!(found, eager.unwrap(), "the two forms round in the same way, so nothing was tested");
}

#[test]
fn flips_average_the_probabilities_of_four_mirror_images() {
    let model = model();
    let (_, validation) = subsets();
    let evaluation = |cells: &CellTensors<'_>, flips| {
        let options = EvalOptions { flips, ..EvalOptions::default() };
        evaluate_network(model.inference().unwrap(), cells, &validation, options).unwrap()
    };
    let sides = [(false, false), (true, false), (false, true), (true, true)];
    let views =
        sides.map(|(horizontally, vertically)| evaluation(&mirrored(horizontally, vertically), false));
    let together = evaluation(&cells(), true);
    let mut largest = 0.0_f64;
    for (i, &mean) in together.probabilities.iter().enumerate() {
        let each = views.each_ref().map(|view| view.probabilities[i]);
        largest = largest.max((each[0] - each[1]).abs());
        // Float32 arithmetic in the network.
        assert!((mean - each.iter().sum::<f64>() / 4.0).abs() < 1e-6, "{mean} of {each:?}");
    }
    assert!(largest > 1e-4, "all views have the same probabilities, so nothing was tested: {largest}");
    let own: Vec<f64> =
        validation.iter().zip(together.probabilities.chunks(2)).map(|(&i, row)| row[i % 2]).collect();
    let loss = -own.iter().map(|p| p.ln()).sum::<f64>() / own.len() as f64;
    assert!((together.loss - loss).abs() < 1e-9, "{}, expected {loss}", together.loss);
}

#[test]
fn weights_depend_on_the_settings_alone() {
    let expected = weights(trained(config()));
    assert_same(&expected, &weights(trained(config())));
    let rough = TrainConfig { precision: Precision::Bfloat16, ..config() };
    for other in [TrainConfig { seed: 8, ..config() }, rough] {
        let other = weights(trained(other));
        assert!(expected.iter().zip(&other).any(|((_, a), (_, b))| a != b));
    }
}

#[test]
fn interrupted_float32_run_resumes_to_the_same_weights() {
    resumes_to_the_same_weights(Precision::Float32);
}

#[test]
fn interrupted_bfloat16_run_resumes_to_the_same_weights() {
    resumes_to_the_same_weights(Precision::Bfloat16);
}

fn resumes_to_the_same_weights(precision: Precision) {
    let config = || TrainConfig { precision, ..config() };
    let expected = weights(trained(config()));
    // 24 cells in batches of 5: five batches per epoch. Batch 3 is inside the first epoch, 5 its last, 12 inside the third,
    // after the change of image size.
    for stop_after in [3, 5, 12] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), "a run");
        let batches = interrupt(&mut trainer(config()), &checkpoints, |_, batches| batches == stop_after);
        assert_eq!(batches, stop_after, "no batch after the stop");

        let mut second = trainer(config());
        assert!(second.resume(&checkpoints).unwrap().is_empty());
        assert_eq!(run(&mut second, saving(&checkpoints)).unwrap(), Outcome::Finished);
        assert!(second.history().iter().map(|record| record.epoch).eq(1..=5));
        assert_same(&expected, &weights(second));
    }
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_previous_one() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    interrupt(
        &mut trainer(config()),
        &checkpoints,
        |event, _| matches!(event, Event::EpochEnded { record, .. } if record.epoch == 4),
    );
    let newest = fs::read(checkpoints.path()).unwrap();

    let flipped = |position: usize| {
        let mut bytes = newest.clone();
        bytes[position] ^= 1;
        bytes
    };
    let header = u64::from_le_bytes(newest[..8].try_into().unwrap()) as usize;
    let digit = header / 2 + newest[header / 2..].iter().position(u8::is_ascii_digit).unwrap();
    let damaged = [
        newest[..newest.len() / 2].to_vec(),
        newest[..20].to_vec(),
        Vec::new(),
        flipped(newest.len() - 3),
        flipped(header + 8 + 4),
        flipped(digit),
        b"\x89PNG\r\n\x1a\n, say".to_vec(),
    ];
    for bytes in damaged {
        fs::write(checkpoints.path(), &bytes).unwrap();
        let mut resumed = trainer(config());
        let passed_over = resumed.resume(&checkpoints).unwrap();
        assert!(passed_over[0].contains("checkpoint.safetensors"), "{passed_over:?}");
        assert_eq!(resumed.history().len(), 3, "the previous one is an epoch older");
        // Renamed, so that the next save does not move it over the valid one.
        assert!(!checkpoints.path().exists());
        assert_eq!(fs::read(folder.path().join("checkpoint.damaged.safetensors")).unwrap(), bytes);
    }
    let mut resumed = trainer(config());
    resumed.resume(&checkpoints).unwrap();
    run(&mut resumed, saving(&checkpoints)).unwrap();
    assert_same(&weights(trained(config())), &weights(resumed));
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    interrupt(&mut trainer(config()), &Checkpoints::new(folder.path(), "a run"), |_, _| true);
    let mut other = trainer(config());
    let error = other.resume(&Checkpoints::new(folder.path(), "another run")).unwrap_err();
    assert!(error.to_string().contains("other settings or other data"), "{error}");
    let error = other.resume(&Checkpoints::new(&folder.path().join("nowhere"), "a run")).unwrap_err();
    assert!(error.to_string().contains("neither"), "{error}");
}

#[test]
fn a_checkpoint_beyond_the_end_of_an_epoch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    interrupt(&mut trainer(config()), &checkpoints, |_, batches| batches == 3);
    // Ten cells make an epoch of two batches of five.
    let mut fewer = trainer(config());
    fewer.resume(&checkpoints).unwrap();
    let (train, validation) = subsets();
    let subsets = Subsets { train: &train[..10], validation: &validation };
    let error = fewer.run(&cells(), subsets, RunOptions::default()).unwrap_err();
    assert!(error.to_string().contains("batch 3 done of an epoch of 2"), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    let wild = TrainConfig { schedule: constant(1e30, Interval::Step), ..config() };
    match run(&mut trainer(wild), saving(&checkpoints)).unwrap_err() {
        Error::NonFiniteLoss { epoch: 1, batch, batches: 5, loss, .. } => {
            assert!(batch >= 2 && !loss.is_finite());
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no checkpoint, no temporary file");
}

#[test]
fn weights_that_are_not_finite_stop_a_run_without_validation() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    // One batch per epoch, whose loss is still finite.
    let wild = TrainConfig {
        batch_size: 1_000,
        select_by: SelectBy::Last,
        schedule: constant(1e300, Interval::Step),
        ..config()
    };
    let subsets = Subsets { train: &subsets().0, validation: &[] };
    let error = trainer(wild).run(&cells(), subsets, saving(&checkpoints));
    assert!(matches!(error, Err(Error::NonFiniteWeights { epoch: 1 })), "{:?}", error.err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no checkpoint of such weights");
}

#[test]
fn early_stopping_counts_only_epochs_at_the_last_image_size() {
    // At a rate of 1e-12 the weights hardly change, so the first epoch at full size stays the best, up to rounding.
    let mut trainer = trainer(TrainConfig {
        epochs: 12,
        early_stopping: Some(2),
        average_decay: None,
        schedule: constant(1e-12, Interval::Epoch),
        select_by: SelectBy::BestAccuracy,
        ..config()
    });
    let mut best_epochs = Vec::new();
    let mut listener = |event: &Event| {
        if let Event::EpochEnded { is_best: true, record } = event {
            best_epochs.push(record.epoch);
        }
    };
    let outcome = run(&mut trainer, RunOptions { listener: Some(&mut listener), ..RunOptions::default() });
    assert_eq!(outcome.unwrap(), Outcome::StoppedEarly);
    assert_eq!(best_epochs[0], 3, "epochs 1 and 2 are at half size");
    assert_eq!(trainer.history().len() as u64, best_epochs.last().unwrap() + 2);
}

#[test]
fn select_by_last_keeps_the_last_epoch() {
    let trainer = trained(TrainConfig { select_by: SelectBy::Last, ..config() });
    assert_eq!(trainer.best_epoch().unwrap().epoch, 5);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    type Spoil = fn(&mut TrainConfig);
    let cases: [(&str, Spoil); 10] = [
        ("epochs", |c| c.epochs = 0),
        ("batch_size", |c| c.batch_size = 0),
        ("label_smoothing", |c| c.label_smoothing = 1.0),
        ("average_decay", |c| c.average_decay = Some(1.0)),
        ("early_stopping", |c| c.early_stopping = Some(0)),
        ("select_by", |c| (c.early_stopping, c.select_by) = (Some(1), SelectBy::Last)),
        ("image_sizes", |c| c.image_sizes.clear()),
        ("image_sizes", |c| c.image_sizes[1].from_epoch = 6),
        ("sgd.momentum", |c| c.sgd.momentum = 1.0),
        ("sgd.l2.residual", |c| c.sgd.l2.residual = -1.0),
    ];
    for (name, spoil) in cases {
        let mut config = config();
        spoil(&mut config);
        match config.check() {
            Err(Error::Config { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
        assert!(Trainer::new(config, model()).is_err());
    }
}

#[test]
fn auto_precision_is_bfloat16_where_the_device_is_faster_in_it() {
    let auto = Precision::Auto;
    assert_eq!(auto.resolve(Device::Cuda(0)), Precision::Bfloat16);
    let cpu = auto.resolve(Device::Cpu);
    assert_ne!(cpu, auto);
    if let Ok(processor) = fs::read_to_string("/proc/cpuinfo") {
        let has = |flag| processor.contains(flag);
        let faster = has("avx512_bf16") && (has("amx_bf16") || !has("GenuineIntel"));
        assert_eq!(cpu == Precision::Bfloat16, faster, "{cpu}");
    }
    for explicit in [Precision::Float32, Precision::Bfloat16] {
        assert_eq!([Device::Cpu, Device::Cuda(0)].map(|device| explicit.resolve(device)), [explicit; 2]);
    }
    // A run with `auto` is the same as one with the resolved precision.
    let [by_auto, resolved] =
        [auto, cpu].map(|precision| weights(trained(TrainConfig { precision, ..config() })));
    assert_same(&by_auto, &resolved);
}

#[test]
fn precisions_have_the_same_name_in_flags_and_files() {
    for precision in [Precision::Auto, Precision::Float32, Precision::Bfloat16] {
        assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        assert_eq!(serde_json::to_value(precision).unwrap(), precision.to_string());
    }
    let error = "half".parse::<Precision>().unwrap_err().to_string();
    assert!(error.contains("`half`") && error.contains("auto, float32, bfloat16"), "{error}");
}

#[test]
fn an_empty_subset_is_refused() {
    for (train, validation, name) in [(&[][..], &[1][..], "training"), (&[1], &[], "validation")] {
        let subsets = Subsets { train, validation };
        let error = trainer(config()).run(&cells(), subsets, RunOptions::default());
        assert!(error.unwrap_err().to_string().contains(name));
    }
}
