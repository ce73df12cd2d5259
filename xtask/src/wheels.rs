//! The wheels that hold libtorch for each platform: names, sizes and hashes as the Python package index lists them, and
//! the libraries that a libtorch for the CPU takes out of each. One for CUDA takes every wheel and every library.
//!
//! They move together with `tch` and `torch-sys` in the workspace's Cargo.toml. The NVIDIA versions are those that the
//! torch wheel's own METADATA pins, directly and through cuda-toolkit 13.0.3.

use crate::plan::Wheel;

/// A [`Wheel`] that can be a constant.
pub(crate) struct Pin {
    file: &'static str,
    sha256: &'static str,
    bytes: u64,
    pub(crate) cpu_libraries: &'static [&'static str],
}

impl Pin {
    pub(crate) fn wheel(&self) -> Wheel {
        Wheel {
            file: self.file.to_owned(),
            sha256: self.sha256.to_owned(),
            bytes: self.bytes,
            cpu_libraries: self.cpu_libraries.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

pub(crate) const LINUX_X86_64: &[Pin] = &[
    Pin {
        file: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
        bytes: 526_574_961,
        cpu_libraries: &["libtorch_cpu.so", "libc10.so", "libgomp.so.1"],
    },
    Pin {
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        bytes: 10_715_597,
        cpu_libraries: &["libcupti.so.13"],
    },
    Pin {
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        bytes: 2_243_632,
        cpu_libraries: &["libcudart.so.13"],
    },
    Pin {
        file: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
        bytes: 134_086,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_x86_64.whl",
        sha256: "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436",
        bytes: 423_138_758,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        bytes: 90_215_200,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
        sha256: "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
        bytes: 366_173_588,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        bytes: 214_085_489,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        bytes: 1_223_672,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
        sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        bytes: 59_544_258,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl",
        sha256: "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
        bytes: 200_941_980,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        bytes: 145_942_937,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl",
        sha256: "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0",
        bytes: 170_148_586,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nccl_cu13-2.29.7-py3-none-manylinux_2_18_x86_64.whl",
        sha256: "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
        bytes: 205_976_000,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        sha256: "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
        bytes: 40_713_933,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        bytes: 60_412_546,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        sha256: "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
        bytes: 148_047,
        cpu_libraries: &[],
    },
];

pub(crate) const LINUX_AARCH64: &[Pin] = &[
    Pin {
        file: "torch-2.13.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        sha256: "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c",
        bytes: 427_199_369,
        cpu_libraries: &[
            "libtorch_cpu.so",
            "libc10.so",
            "libgomp.so.1",
            "libarm_compute.so",
            "libarm_compute_graph.so",
            "libnvpl_blas_core.so.0",
            "libnvpl_blas_lp64_gomp.so.0",
            "libnvpl_lapack_core.so.0",
            "libnvpl_lapack_lp64_gomp.so.0",
        ],
    },
    Pin {
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl",
        sha256: "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
        bytes: 10_310_827,
        cpu_libraries: &["libcupti.so.13"],
    },
    Pin {
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
        bytes: 2_261_060,
        cpu_libraries: &["libcudart.so.13"],
    },
    Pin {
        file: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "ee2ea2a97073e02ee62bb27841f437332be2c248e3eac013df07997ada39c003",
        bytes: 134_086,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_aarch64.whl",
        sha256: "b7a210458267ac818974c53038fbec2e969d5c99f305ab15c72522fa9f001dd5",
        bytes: 542_848_918,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "d27f20a0ca67a4bb34268a5e951033496c5b74870b868bacd046b1b8e0c3267b",
        bytes: 43_015_449,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_aarch64.whl",
        sha256: "e31454ae00094b0c55319d9d15b6fa2fc50a9e1c0f5c8c80fb75258234e731e1",
        bytes: 444_574_296,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "2708c852ef8cd89d1d2068bdbece0aa188813a0c934db3779b9b1faa8442e5f5",
        bytes: 214_053_554,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cufile-1.15.1.6-py3-none-manylinux_2_27_aarch64.whl",
        sha256: "bdc0deedc61f548bddf7733bdc216456c2fdb101d020e1ab4b88d232d5e2f6d1",
        bytes: 1_136_992,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_aarch64.whl",
        sha256: "133df5a7509c3e292aaa2b477afd0194f06ce4ea24d714d616ff36439cee349a",
        bytes: 61_962_106,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_aarch64.whl",
        sha256: "02c2457eaa9e39de20f880f4bd8820e6a1cfb9f9a34f820eb12a155aa5bc92d2",
        bytes: 223_467_760,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "80bcc4662f23f1054ee334a15c72b8940402975e0eab63178fc7e670aa59472c",
        bytes: 162_155_568,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_aarch64.whl",
        sha256: "4dca476c50bf4780d46cd0bfbd82e2bc10a08e4fef7950917ce8d7578d22a23f",
        bytes: 221_051_344,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nccl_cu13-2.29.7-py3-none-manylinux_2_18_aarch64.whl",
        sha256: "674a12383e3c38a1bcccae7d4f3633b37852230b6047883cb2f4c2d1b36d9bf5",
        bytes: 206_014_712,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvjitlink-13.0.88-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "e931536ccc7d467a98ba1d8b89ff7fa7f1fa3b13f2b0069118cd7f47bff07d0c",
        bytes: 38_768_748,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "6dc2a197f38e5d0376ad52cd1a2a3617d3cdc150fd5966f4aee9bcebb1d68fe9",
        bytes: 60_215_947,
        cpu_libraries: &[],
    },
    Pin {
        file: "nvidia_nvtx-13.0.85-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
        sha256: "cb7780edb6b14107373c835bf8b72e7a178bac7367e23da7acb108f973f157a6",
        bytes: 148_878,
        cpu_libraries: &[],
    },
];

pub(crate) const MACOS_AARCH64: &[Pin] = &[Pin {
    file: "torch-2.13.0-cp311-cp311-macosx_14_0_arm64.whl",
    sha256: "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8",
    bytes: 111_187_938,
    cpu_libraries: &["libtorch_cpu.dylib", "libtorch.dylib", "libc10.dylib", "libomp.dylib"],
}];
