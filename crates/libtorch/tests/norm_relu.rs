//! Batch normalisation with ReLU against libtorch's separate functions.

use malaria_libtorch::BatchNorm;
use tch::{Device, Kind, Tensor};

/// Pseudo-random values, uniform in [-1, 1].
fn noise(count: i64, salt: f64) -> Tensor {
    let angles = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898 + salt;
    (angles.sin() * 43758.5453).frac().to_kind(Kind::Float)
}

/// `[N, C, H, W]`, channels_last in memory, whose channels have different means.
fn features(shape: [i64; 4], kind: Kind, salt: f64) -> Tensor {
    let [n, c, h, w] = shape;
    let values = noise(n * h * w * c, salt).view([n, h, w, c]);
    let values = values * 4.0 + Tensor::arange(c, (Kind::Float, Device::Cpu)).remainder(8) * 0.25;
    values.permute([0, 3, 1, 2]).to_kind(kind)
}

fn values(count: i64, around: f64) -> Tensor {
    (noise(count, around) * 0.5 + around).set_requires_grad(true)
}

/// Output, sum, running statistics and gradients of one step, by this crate or by libtorch's separate functions in float32, between
/// which the sum is rounded to the precision of `x`.
fn step(fused: bool, x: &Tensor, added: Option<&Tensor>, scale: &Tensor, shift: &Tensor) -> Vec<Tensor> {
    let channels = x.size()[1];
    let (mean, var) = (
        Tensor::full([channels], 0.5, (Kind::Float, Device::Cpu)),
        Tensor::ones([channels], (Kind::Float, Device::Cpu)),
    );
    let input = x.detach().set_requires_grad(true);
    // A function of the leaf, since the sum overwrites it.
    let wide = |x: &Tensor| x.to_kind(Kind::Float);
    let x = &input * 1.0;
    let addend = added.map(|added| added.detach().set_requires_grad(true));
    let (sum, y) = if fused {
        let norm = BatchNorm { scale, shift, mean: &mean, var: &var, momentum: 0.1, eps: 2e-5 };
        let y = norm.relu(&x, addend.as_ref()).unwrap();
        (x, y)
    } else {
        let sum = wide(&addend.as_ref().map_or(x.shallow_clone(), |addend| &x + addend));
        let y =
            sum.batch_norm(Some(scale), Some(shift), Some(&mean), Some(&var), true, 0.1, 2e-5, false).relu();
        (sum, y)
    };
    // The sum is also used elsewhere, as in a shortcut; weights differ between places.
    let weights = Tensor::arange(y.numel() as i64, (Kind::Float, Device::Cpu)).sin().view_as(&y);
    let mut loss = (&y * &weights).sum(Kind::Float);
    let mut inputs = vec![&input, scale, shift];
    if let Some(addend) = &addend {
        loss += (&sum * weights.cos()).sum(Kind::Float);
        inputs.push(addend);
    }
    let mut results = vec![y.detach(), sum.detach(), mean, var];
    results.extend(Tensor::run_backward(&[loss], &inputs, false, false));
    results
}

#[test]
fn values_and_gradients_are_those_of_separate_functions() {
    // One value more than a block; channels that do not fill a vector; fewer pixels than a block; odd sides.
    for shape in [[1, 64, 1, 257], [3, 5, 9, 7], [2, 128, 4, 4], [4, 512, 5, 3]] {
        for has_added in [false, true] {
            // Sums of up to a thousand values in another order; results with 8 bits, rounded up to three times.
            for (kind, tolerance) in [(Kind::Float, 2e-5), (Kind::BFloat16, 0.01)] {
                let x = features(shape, kind, 1.0);
                let added = has_added.then(|| features(shape, kind, 2.0));
                let (scale, shift) = (values(shape[1], 1.0), values(shape[1], 0.1));
                let found = step(true, &x, added.as_ref(), &scale, &shift);
                let expected = step(false, &x, added.as_ref(), &scale, &shift);
                let names = ["y", "sum", "mean", "var", "by x", "by scale", "by shift", "by added"];
                for ((name, found), expected) in names.iter().zip(&found).zip(&expected) {
                    let expected = expected.to_kind(Kind::Float);
                    let largest = expected.abs().max().double_value(&[]).max(1.0);
                    let difference =
                        (found.to_kind(Kind::Float) - expected).abs().max().double_value(&[]) / largest;
                    assert!(
                        difference < tolerance,
                        "{name} of {shape:?}, {kind:?}, added {has_added}: {difference:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let x = features([8, 24, 16, 16], Kind::Float, 1.0);
    let (scale, shift) = (values(24, 1.0), values(24, 0.0));
    let all: Vec<Vec<Tensor>> = [1, 2, 3]
        .map(|threads| {
            tch::set_num_threads(threads);
            step(true, &x, None, &scale, &shift)
        })
        .into();
    for other in &all[1..] {
        assert!(all[0].iter().zip(other).all(|(one, other)| one.equal(other)));
    }
}

#[test]
fn nan_is_propagated() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let x = features([2, 3, 4, 4], kind, 1.0);
        let _ = x.select(1, 1).fill_(f64::NAN);
        let y = &step(true, &x, None, &values(3, 1.0), &values(3, 0.0))[0];
        let is_nan = y.isnan().any_dims([0, 2, 3].as_slice(), false);
        assert_eq!(Vec::<bool>::try_from(is_nan).unwrap(), [false, true, false]);
    }
}

#[test]
fn other_inputs_are_refused() {
    let x = features([2, 4, 3, 3], Kind::Float, 1.0);
    let (scale, shift, ones) =
        (values(4, 1.0), values(4, 0.0), Tensor::ones([4], (Kind::Float, Device::Cpu)));
    let norm = BatchNorm { scale: &scale, shift: &shift, mean: &ones, var: &ones, momentum: 0.1, eps: 2e-5 };
    let row_major = x.contiguous();
    let few = features([2, 3, 3, 3], Kind::Float, 1.0);
    for (x, added, problem) in [
        (&row_major, None, "channels_last"),
        (&x.to_kind(Kind::Double), None, "float32 or bfloat16"),
        (&few, None, "3 float32 values"),
        (&x, Some(&few), "differ"),
        (&features([1, 4, 1, 1], Kind::Float, 1.0), None, "more than one value per channel"),
    ] {
        let error = norm.relu(x, added).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem}: {error}");
    }
}
