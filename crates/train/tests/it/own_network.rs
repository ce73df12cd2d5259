//! Tests of training with a custom network: learning, stopping, resuming, refused states, and its own errors.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::atomic::AtomicBool,
};

use malaria_train::{
    Checkpoints, DecayGroup, Error, EvalOptions, Event, ImageSize, L2, Network, Outcome, RunOptions,
    Schedule, SelectBy, Sgd, SgdConfig, State, TrainConfig, Trainable, Trainer, evaluate_network,
};
use tch::{Device, Kind, Tensor, no_grad};

use crate::support::{SIZE, cells, run, saving, subsets};

/// One convolution, global maximum, subtraction of a running mean, and a dense layer.
struct Small {
    kernel: Tensor,
    dense: Tensor,
    bias: Tensor,
    mean: Tensor,
}

impl Network for Small {
    fn device(&self) -> Device {
        Device::Cpu
    }

    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        let features = images.f_conv2d(&self.kernel, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)?.f_relu()?;
        let features = features.f_amax([2, 3], false)?;
        if train {
            let batch = features.f_detach()?.f_mean_dim([0].as_slice(), false, Kind::Float)?;
            let _ = no_grad(|| self.mean.shallow_clone().f_lerp_(&batch, 0.1))?;
        }
        Ok(features.f_sub(&self.mean)?.f_linear(&self.dense, Some(&self.bias))?)
    }

    fn parameters(&self) -> Vec<Trainable> {
        let groups = [DecayGroup::Residual, DecayGroup::StemAndDense, DecayGroup::None];
        let tensors = [("kernel", &self.kernel), ("dense", &self.dense), ("bias", &self.bias)];
        let trainable = |((name, tensor), decay): ((&str, &Tensor), DecayGroup)| Trainable {
            name: name.to_owned(),
            tensor: tensor.shallow_clone(),
            decay,
        };
        tensors.into_iter().zip(groups).map(trainable).collect()
    }

    fn buffers(&self) -> State {
        vec![("mean".to_owned(), self.mean.shallow_clone())]
    }
}

/// A network with `features` features.
fn small_of(features: i64) -> Small {
    let waves = |shape: &[i64]| {
        let places = Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu));
        ((places * 12.9).sin() * 0.3).view(shape).set_requires_grad(true)
    };
    Small {
        kernel: waves(&[features, 3, 3, 3]),
        dense: waves(&[2, features]),
        bias: waves(&[2]),
        mean: Tensor::zeros([features], (Kind::Float, Device::Cpu)),
    }
}

fn small() -> Small {
    small_of(8)
}

/// Averaging, a random flip, momentum and decay; five batches per epoch.
fn config() -> TrainConfig {
    let mut config = TrainConfig::tutorial(6, 5);
    config.batch_size = 5;
    config.schedule = Schedule::tutorial(0.1);
    config.augment = malaria_augment::AugmentConfig { horizontal_flip: true, ..Default::default() };
    config.image_sizes = vec![ImageSize { from_epoch: 1, pixels: SIZE as i64 }];
    config.average_decay = Some(0.8);
    config.select_by = SelectBy::BestLoss;
    config
}

fn trainer(config: TrainConfig) -> Trainer<Small> {
    Trainer::new(config, small()).unwrap()
}

/// The bits of every tensor, by name.
fn bits(state: State) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
    let bits = |tensor| bits(tensor).into_iter().map(f32::to_bits).collect();
    state.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

fn trained(trainer: Trainer<Small>) -> Vec<(String, Vec<u32>)> {
    bits(trainer.into_model().unwrap().state().unwrap())
}

/// The bits of the training loss of each epoch.
fn losses<N: Network>(trainer: &Trainer<N>) -> Vec<u64> {
    trainer.history().iter().map(|record| record.train_loss.to_bits()).collect()
}

#[test]
fn trains_without_checkpoints_or_listener() {
    let mut trainer = trainer(TrainConfig { epochs: 30, ..config() });
    assert_eq!(run(&mut trainer, RunOptions::default()).unwrap(), Outcome::Finished);
    let (first, last) = (trainer.history()[0].clone(), trainer.history()[29].clone());
    assert!(last.train_accuracy > 0.9 && last.train_loss < first.train_loss / 2.0, "{first:?}, {last:?}");
    // The best weights are the averaged ones that were validated.
    let best = trainer.best_epoch().unwrap();
    let model = trainer.into_model().unwrap();
    let evaluation =
        evaluate_network(model.inference().unwrap(), &cells(), &subsets().1, EvalOptions::default()).unwrap();
    assert_eq!(Some(evaluation.loss), best.validation_loss);
    assert!(model.mean.abs().sum(Kind::Float).double_value(&[]) > 0.1, "the buffer was not used");
}

#[test]
fn run_options_do_not_change_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    let (stop, mut events) = (AtomicBool::new(false), 0);
    let mut listener = |_: &Event| events += 1;
    let options =
        RunOptions { checkpoints: Some(&checkpoints), stop: Some(&stop), listener: Some(&mut listener) };
    let (mut with, mut without) = (trainer(config()), trainer(config()));
    run(&mut with, options).unwrap();
    run(&mut without, RunOptions::default()).unwrap();
    assert!(checkpoints.exist() && events > 30, "{events}");
    assert_eq!(trained(with), trained(without));
}

#[test]
fn an_interrupted_run_continues_by_another_call() {
    let (mut whole, mut halted) = (trainer(config()), trainer(config()));
    run(&mut whole, RunOptions::default()).unwrap();
    let stop = AtomicBool::new(true);
    let options = RunOptions { stop: Some(&stop), ..RunOptions::default() };
    assert_eq!(run(&mut halted, options).unwrap(), Outcome::Interrupted);
    assert_eq!(run(&mut halted, RunOptions::default()).unwrap(), Outcome::Finished);
    assert_eq!(trained(halted), trained(whole));
}

/// Trains until batch `last` of the run, stops without saving, and resumes in a new trainer from the checkpoint.
fn killed_after(last: usize, folder: &Path) -> Trainer<Small> {
    let checkpoints = Checkpoints::new(folder, "a run");
    let mut batches = 0;
    let mut listener = |event: &Event| {
        batches += usize::from(matches!(event, Event::Batch { .. }));
        if batches == last {
            resume_unwind(Box::new("killed"));
        }
    };
    let options = RunOptions { listener: Some(&mut listener), ..saving(&checkpoints) };
    assert!(catch_unwind(AssertUnwindSafe(|| run(&mut trainer(config()), options))).is_err());

    let mut second = trainer(config());
    assert!(second.resume(&checkpoints).unwrap().is_empty());
    assert_eq!(second.history().len(), last / 5, "it resumes from its last whole epoch");
    run(&mut second, saving(&checkpoints)).unwrap();
    second
}

#[test]
fn killed_runs_resume_to_the_same_bits() {
    let mut undisturbed = trainer(config());
    run(&mut undisturbed, RunOptions::default()).unwrap();
    let (losses_expected, expected) = (losses(&undisturbed), trained(undisturbed));
    for last in [12, 24] {
        let folder = tempfile::tempdir().unwrap();
        let trainer = killed_after(last, folder.path());
        assert_eq!(losses(&trainer), losses_expected, "after batch {last}");
        assert_eq!(trained(trainer), expected, "after batch {last}");
    }
}

#[test]
fn averaging_does_not_change_the_trained_weights() {
    let (mut plain, mut averaged) =
        (trainer(TrainConfig { average_decay: None, ..config() }), trainer(config()));
    run(&mut plain, RunOptions::default()).unwrap();
    run(&mut averaged, RunOptions::default()).unwrap();
    assert_eq!(losses(&plain), losses(&averaged));
    assert_ne!(trained(plain), trained(averaged));
}

#[test]
fn a_checkpoint_of_another_network_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), "a run");
    run(&mut Trainer::new(config(), small_of(6)).unwrap(), saving(&checkpoints)).unwrap();
    let mut trainer = trainer(config());
    let error = trainer.resume(&checkpoints).unwrap_err();
    assert!(matches!(error, Error::State { what: "weights", .. }), "{error}");
    assert!(error.to_string().contains("`kernel` of shape [8, 3, 3, 3]"), "{error}");
    assert_eq!(trained(trainer), bits(small().state().unwrap()));
}

#[test]
fn states_that_do_not_fit_change_nothing() {
    let network = small();
    let mut sgd = Sgd::new(SgdConfig::tutorial(), &network).unwrap();
    let mut state = network.state().unwrap();
    state.iter_mut().for_each(|(_, tensor)| *tensor = &*tensor + 1.0);
    assert!(matches!(network.load_state(&state[..3]), Err(Error::State { what: "weights", .. })));
    state[3].0 = "median".to_owned();
    assert!(matches!(network.load_state(&state), Err(Error::State { what: "weights", .. })));
    assert_eq!(bits(network.state().unwrap()), bits(small().state().unwrap()));
    let refused = sgd.load_state(&state[..2]);
    assert!(matches!(refused, Err(Error::State { what: "velocity", .. })), "{refused:?}");
}

#[test]
fn each_group_decays_by_its_own_rate() {
    let network = small();
    let before = network.state().unwrap();
    let l2 = L2 { stem_and_dense: 0.5, residual: 0.25 };
    let mut sgd = Sgd::new(SgdConfig { momentum: 0.0, nesterov: false, l2 }, &network).unwrap();
    // The gradient is that of the decay only, 2 r w.
    let sums = network.parameters().into_iter().map(|parameter| parameter.tensor.sum(Kind::Float));
    sgd.step(&(sums.reduce(|a, b| a + b).unwrap() * 0.0), 0.1).unwrap();
    for (((name, before), (_, after)), left) in
        before.iter().zip(network.state().unwrap()).zip([0.95, 0.9, 1.0, 1.0])
    {
        let error = (after - before * left).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{name}: {error}");
    }
}

/// Trains like [`Small`], but fails in evaluation.
struct FailingEvaluation(Small);

impl Network for FailingEvaluation {
    fn device(&self) -> Device {
        self.0.device()
    }

    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        if train { self.0.forward(images, true) } else { Err(Error::Network("cannot evaluate".into())) }
    }

    fn parameters(&self) -> Vec<Trainable> {
        self.0.parameters()
    }

    fn buffers(&self) -> State {
        self.0.buffers()
    }
}

#[test]
fn an_error_of_the_network_is_returned_and_the_trained_weights_are_kept() {
    let one = |average_decay| TrainConfig { epochs: 1, select_by: SelectBy::Last, average_decay, ..config() };
    let mut failing = Trainer::new(one(Some(0.8)), FailingEvaluation(small())).unwrap();
    let error = run(&mut failing, RunOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Network(_)), "{error}");
    assert!(error.to_string().contains("cannot evaluate"), "{error}");
    let mut plain = trainer(one(None));
    run(&mut plain, RunOptions::default()).unwrap();
    assert_eq!(bits(failing.into_model().unwrap().state().unwrap()), trained(plain));
}
