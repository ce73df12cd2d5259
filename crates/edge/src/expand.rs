//! Converts float16 and int8 weights to float32 when a file is loaded.

use half::f16;

use crate::onnx::{self, FLOAT, FLOAT16, INT8};

/// Replaces the nodes that convert float16 and int8 weights by float32 weights. No two nodes may share a tensor, which would
/// be expanded for each of them.
pub(crate) fn expand(graph: &mut onnx::Graph) -> Result<(), String> {
    let mut expanded = Vec::new();
    for node in std::mem::take(&mut graph.node) {
        if !matches!(node.op_type.as_str(), "Cast" | "DequantizeLinear") {
            graph.node.push(node);
            continue;
        }
        let wrong = |reason: String| format!("node `{}`: {reason}", node.name);
        let read = graph.initializer.iter().position(|tensor| node.input.first() == Some(&tensor.name));
        let (Some(read), [output]) = (read, &node.output[..]) else {
            return Err(wrong("expected one output, and weights that no other node reads".to_owned()));
        };
        let weights = graph.initializer.swap_remove(read);
        let values = unpacked(&node, &weights, &graph.initializer).map_err(wrong)?;
        expanded.push(onnx::Tensor {
            dims: weights.dims,
            data_type: FLOAT,
            name: output.clone(),
            raw_data: values.into_iter().flat_map(f32::to_le_bytes).collect(),
        });
    }
    let used: std::collections::HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    graph.initializer.retain(|tensor| used.contains(&tensor.name));
    graph.initializer.append(&mut expanded);
    Ok(())
}

/// The float32 values of a node's `weights`. `others` are all other tensors.
fn unpacked(node: &onnx::Node, weights: &onnx::Tensor, others: &[onnx::Tensor]) -> Result<Vec<f32>, String> {
    let onnx::Tensor { data_type, raw_data, .. } = weights;
    match (node.op_type.as_str(), *data_type) {
        ("Cast", FLOAT16) => {
            Ok(raw_data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect())
        }
        ("DequantizeLinear", INT8) => dequantised(node, weights, others),
        (operator, found) => Err(format!("unsupported `{operator}` of weights of type {found}")),
    }
}

/// Int8 weights times their scales, one per output channel, with zero points of 0.
fn dequantised(
    node: &onnx::Node,
    weights: &onnx::Tensor,
    others: &[onnx::Tensor],
) -> Result<Vec<f32>, String> {
    // ONNX's default is another axis.
    if node.attribute != [onnx::Attribute::int("axis", 0)] {
        return Err(format!("expected `axis` 0 as its one setting, found {:?}", node.attribute));
    }
    let by_channel = |place: usize, what: &str, data_type: i32| {
        let found = node.input.get(place).and_then(|name| others.iter().find(|tensor| tensor.name == *name));
        let fits = |tensor: &&onnx::Tensor| {
            tensor.data_type == data_type && weights.dims.get(..1) == Some(&tensor.dims[..])
        };
        found.filter(fits).ok_or_else(|| {
            let found = found.map(|tensor| format!("type {} of {:?}", tensor.data_type, tensor.dims));
            let found = found.unwrap_or_else(|| "none".to_owned());
            format!("expected {what} for each output channel of {:?}, found {found}", weights.dims)
        })
    };
    let scales = by_channel(1, "a float32 scale", FLOAT)?;
    let zeros = by_channel(2, "an int8 zero point", INT8)?;
    if zeros.raw_data.iter().any(|&byte| byte != 0) {
        return Err(format!("expected zero points of 0, found others in `{}`", zeros.name));
    }
    let scales = scales.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let scales: Vec<f32> = scales.collect();
    let channel = weights.raw_data.len().checked_div(scales.len()).unwrap_or(0).max(1);
    let channels = weights.raw_data.chunks(channel).zip(scales);
    let values = channels
        .flat_map(|(bytes, scale)| bytes.iter().map(move |byte| f32::from(byte.cast_signed()) * scale));
    Ok(values.collect())
}
