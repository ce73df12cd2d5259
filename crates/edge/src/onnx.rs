//! The part of the ONNX file format that exported networks use, and checks of loaded files.
//!
//! Field numbers and encodings (repeated numbers one by one, not packed) are those of `onnx.proto` in the ONNX repository,
//! IR version 8.

use std::{collections::HashSet, ops::RangeInclusive};

use prost::Message;

/// Name of the producer and of the graph, and key of the project's metadata entry: a
/// [`Description`](malaria_classifier::Description) and an [`Origin`](crate::Origin) in JSON, and the version of their
/// layout.
pub(crate) const PROJECT: &str = "malaria-resnet";
/// Name of the network's input.
pub(crate) const INPUT: &str = "images";
/// Name of the network's output.
pub(crate) const OUTPUT: &str = "probabilities";

/// A model file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    #[prost(string, tag = "3")]
    pub(crate) producer_version: String,
    #[prost(string, tag = "6")]
    pub(crate) doc_string: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata_props: Vec<Property>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Property {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, tag = "2")]
    pub(crate) f: f32,
    #[prost(int64, tag = "3")]
    pub(crate) i: i64,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(crate) r#type: i32,
}

impl Attribute {
    pub(crate) fn float(name: &str, f: f32) -> Self {
        Self { name: name.to_owned(), f, r#type: 1, ..Self::default() }
    }

    pub(crate) fn int(name: &str, i: i64) -> Self {
        Self { name: name.to_owned(), i, r#type: 2, ..Self::default() }
    }

    pub(crate) fn ints(name: &str, ints: &[i64]) -> Self {
        Self { name: name.to_owned(), ints: ints.to_vec(), r#type: 7, ..Self::default() }
    }
}

/// Tensor element types.
pub(crate) const FLOAT: i32 = 1;
pub(crate) const INT8: i32 = 3;
pub(crate) const FLOAT16: i32 = 10;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    /// Little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Type {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(crate) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<Dim>,
}

/// A dimension: a number or a name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dim {
    #[prost(int64, optional, tag = "1")]
    pub(crate) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) dim_param: Option<String>,
}

impl ValueInfo {
    /// Float32 of shape `[N, sides…]`.
    pub(crate) fn batch(name: &str, sides: &[i64]) -> Self {
        let any = Dim { dim_value: None, dim_param: Some("N".to_owned()) };
        let fixed = |&side: &i64| Dim { dim_value: Some(side), dim_param: None };
        let shape = Shape { dim: std::iter::once(any).chain(sides.iter().map(fixed)).collect() };
        let tensor_type = Some(TensorType { elem_type: FLOAT, shape: Some(shape) });
        Self { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
    }
}

/// Refuses a graph with operators or settings that [`export`](crate::export) does not use, or with tensors whose size
/// differs from their shape. Runtimes support many more operators, with which a damaged file could take any amount of
/// memory.
pub(crate) fn check(graph: &Graph) -> Result<(), String> {
    for Tensor { name, dims, data_type, raw_data } in &graph.initializer {
        let width = match *data_type {
            FLOAT => 4,
            FLOAT16 => 2,
            INT8 => 1,
            other => {
                return Err(format!(
                    "tensor `{name}`: expected float32, float16 or int8, found type {other}"
                ));
            }
        };
        let bytes =
            dims.iter().try_fold(width, |bytes: usize, &side| bytes.checked_mul(side.try_into().ok()?));
        if bytes != Some(raw_data.len()) {
            return Err(format!(
                "tensor `{name}`: found {} bytes for shape {dims:?} of {width} bytes each",
                raw_data.len()
            ));
        }
    }
    graph.node.iter().try_for_each(check_node)
}

/// Refuses a node that reads a stored tensor where exported networks read data: as its first input, or as either input of an
/// addition. Runtimes compute nodes that read only stored tensors when they load a file, and adding two small tensors along
/// different dimensions could give a tensor of any size. Kernels must already be float32.
pub(crate) fn check_data(graph: &Graph) -> Result<(), String> {
    let stored: HashSet<&String> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
    for Node { name, op_type, input, .. } in &graph.node {
        let data = if op_type == "Add" { 2 } else { 1 };
        if let Some(found) = input.iter().take(data).find(|input| stored.contains(input)) {
            return Err(format!(
                "node `{name}`: expected the output of another node as input, found the tensor `{found}`"
            ));
        }
    }
    Ok(())
}

/// An integer setting of an operator: name, number of values, range.
type Setting = (&'static str, usize, RangeInclusive<i64>);

fn check_node(node: &Node) -> Result<(), String> {
    const WINDOW: &[Setting] = &[("kernel_shape", 2, 1..=5), ("pads", 4, 0..=4), ("strides", 2, 1..=2)];
    const AXIS: &[Setting] = &[("axis", 1, 0..=1)];
    let settings: &[Setting] = match node.op_type.as_str() {
        "Conv" | "MaxPool" => WINDOW,
        "Flatten" | "Softmax" | "DequantizeLinear" => AXIS,
        "Gemm" => &[("transB", 1, 1..=1)],
        "Cast" => &[("to", 1, FLOAT as i64..=FLOAT as i64)],
        "BatchNormalization" => &[("epsilon", 0, 0..=0)],
        "Relu" | "Add" | "GlobalAveragePool" => &[],
        other => {
            return Err(format!("node `{}`: unsupported operator `{other}`", node.name));
        }
    };
    for Attribute { name, i, ints, r#type, .. } in &node.attribute {
        let numbers = match r#type {
            1 => &[],
            2 => std::slice::from_ref(i),
            _ => ints.as_slice(),
        };
        let fits = |(known, count, range): &Setting| {
            known == name && *count == numbers.len() && numbers.iter().all(|number| range.contains(number))
        };
        if !settings.iter().any(fits) {
            return Err(format!(
                "node `{}`: expected its settings from {settings:?}, found `{name}` {numbers:?}",
                node.name
            ));
        }
    }
    Ok(())
}
