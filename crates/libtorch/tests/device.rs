//! Devices and threads of the linked libtorch, on a machine with or without a GPU.

use std::num::NonZero;

use malaria_libtorch::{DeviceChoice, Error, describe, set_threads, threads};
use tch::{Device, Kind, Tensor};

#[test]
fn cuda_is_a_gpu_or_an_error_and_libtorch_cuda_is_linked() {
    match DeviceChoice::Cuda(0).resolve() {
        Ok(device) => {
            assert_eq!(device, Device::Cuda(0));
            let sum = Tensor::ones([2, 3], (Kind::Float, device)).sum(Kind::Float);
            assert_eq!(sum.double_value(&[]), 6.0);
            assert!(describe(device).contains("cuda:0"));
        }
        Err(error) => {
            assert!(matches!(error, Error::NoGpu { .. } | Error::CpuOnlyLibtorch { .. }), "{error}");
            assert_eq!(DeviceChoice::Auto.resolve(), Ok(Device::Cpu));
        }
    }
}

#[test]
fn a_gpu_beyond_the_last_is_an_error() {
    assert!(DeviceChoice::Cuda(1000).resolve().is_err());
}

#[test]
fn threads_are_set_and_described() {
    set_threads(NonZero::new(3).unwrap());
    assert_eq!(threads(), 3);
    assert_eq!(describe(Device::Cpu), "CPU, 3 threads");
    set_threads(NonZero::<usize>::MIN);
    assert_eq!(describe(Device::Cpu), "CPU, 1 thread");
}
