//! Points and directions in the plane.
//!
//! Synthetic pictures are computed only with `+ - * /` and `sqrt`, which every platform rounds in the same way; sines,
//! powers and similar functions differ between system libraries. Directions are therefore unit vectors, never angles.

/// A point, or a direction of length 1: x to the right, y down, in pixels.
pub(super) type Vector = [f32; 2];

pub(super) fn length([x, y]: Vector) -> f32 {
    (x * x + y * y).sqrt()
}

/// The direction of a point; to the right for the origin.
pub(super) fn unit(point: Vector) -> Vector {
    let length = length(point);
    if length > 0.0 { [point[0] / length, point[1] / length] } else { [1.0, 0.0] }
}

pub(super) fn minus(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1]]
}

/// `a` rotated by the angle of the direction `b`: their product as complex numbers.
pub(super) fn turn(a: Vector, b: Vector) -> Vector {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

/// `a` rotated back by the angle of the direction `b`.
pub(super) fn turn_back(a: Vector, b: Vector) -> Vector {
    turn(a, [b[0], -b[1]])
}

pub(super) fn mix(a: f32, b: f32, share_of_b: f32) -> f32 {
    a + (b - a) * share_of_b
}
