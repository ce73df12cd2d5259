//! Pictures with one channel: brightness, darkness and masks, and operations on them.

use image::{GrayImage, ImageBuffer, Luma};
use imageproc::distance_transform::euclidean_squared_distance_transform;
use imageproc::region_labelling::{Connectivity, connected_components};

/// One value per pixel.
pub(crate) type Plane = ImageBuffer<Luma<f32>, Vec<f32>>;
/// 255 inside, 0 outside.
pub(crate) type Mask = GrayImage;
/// The number of the region that a pixel belongs to, from 1; 0 for none.
pub(crate) type Labels = ImageBuffer<Luma<u32>, Vec<u32>>;

/// The value inside a [`Mask`].
pub(crate) const INSIDE: u8 = 255;

/// A mask of the pixels for which `inside` holds, given the position of each in the raw data.
pub(crate) fn mask_where((width, height): (u32, u32), inside: impl Fn(usize) -> bool) -> Mask {
    let values = (0..width as usize * height as usize).map(|i| if inside(i) { INSIDE } else { 0 }).collect();
    Mask::from_raw(width, height, values).expect("one value per pixel")
}

/// A plane of the values of `value`, given the position of each pixel in the raw data.
pub(crate) fn plane_of((width, height): (u32, u32), value: impl Fn(usize) -> f32) -> Plane {
    let values = (0..width as usize * height as usize).map(value).collect();
    Plane::from_raw(width, height, values).expect("one value per pixel")
}

/// The connected pieces of a mask: for each, the positions of its pixels in the raw data, in ascending order. Pixels
/// that touch at a corner are connected.
pub(crate) fn pieces(mask: &Mask) -> Vec<Vec<u32>> {
    regions(&connected_components(mask, Connectivity::Eight, Luma([0])))
}

/// Holes of a mask: regions of the outside that do not reach the edge of the picture.
pub(crate) fn holes(mask: &Mask) -> Vec<Vec<u32>> {
    let (width, height) = mask.dimensions();
    let outside = mask_where((width, height), |i| mask.as_raw()[i] == 0);
    let mut regions = regions(&connected_components(&outside, Connectivity::Four, Luma([0])));
    regions.retain(|region| !region.iter().any(|&i| on_edge(i, width, height)));
    regions
}

/// Whether the pixel at position `i` is one of the outermost.
pub(crate) fn on_edge(i: u32, width: u32, height: u32) -> bool {
    let (x, y) = (i % width, i / width);
    x == 0 || y == 0 || x + 1 == width || y + 1 == height
}

/// For each label, the positions of its pixels in the raw data, in ascending order.
pub(crate) fn regions(labels: &Labels) -> Vec<Vec<u32>> {
    let count = labels.as_raw().iter().max().map_or(0, |&most| most as usize);
    let mut regions = vec![Vec::new(); count];
    for (i, &label) in labels.as_raw().iter().enumerate() {
        if label > 0 {
            regions[label as usize - 1].push(i as u32);
        }
    }
    regions
}

/// Distance of each pixel inside `mask` to the nearest pixel outside, in pixels; 0 outside. The area beyond the edge of
/// the picture counts as inside.
pub(crate) fn depth(mask: &Mask) -> Plane {
    let outside = mask_where(mask.dimensions(), |i| mask.as_raw()[i] == 0);
    if outside.as_raw().iter().all(|&value| value == 0) {
        let most = mask.width().max(mask.height()) as f32;
        return plane_of(mask.dimensions(), |_| most);
    }
    let squared = euclidean_squared_distance_transform(&outside);
    plane_of(mask.dimensions(), |i| squared.as_raw()[i].sqrt() as f32)
}

/// Gaussian blur with a standard deviation of `sigma` pixels, in which pixels at the edge are repeated outwards.
pub(crate) fn blur(plane: &Plane, sigma: f32) -> Plane {
    let radius = (3.0 * sigma).ceil() as usize;
    if radius == 0 || plane.is_empty() {
        return plane.clone();
    }
    let kernel = Vec::from_iter((0..=2 * radius).map(|i| {
        let from_centre = (i as f32 - radius as f32) / sigma;
        (-0.5 * from_centre * from_centre).exp()
    }));
    let sum: f32 = kernel.iter().sum();
    let kernel = Vec::from_iter(kernel.iter().map(|weight| weight / sum));
    let (width, height) = (plane.width() as usize, plane.height() as usize);
    let mut across = vec![0.0; width * height];
    let mut padded = vec![0.0; width + 2 * radius];
    for (to, from) in across.chunks_exact_mut(width).zip(plane.as_raw().chunks_exact(width)) {
        padded[..radius].fill(from[0]);
        padded[radius..radius + width].copy_from_slice(from);
        padded[radius + width..].fill(from[width - 1]);
        for (i, weight) in kernel.iter().enumerate() {
            for (to, from) in to.iter_mut().zip(&padded[i..]) {
                *to += weight * from;
            }
        }
    }
    let mut blurred = vec![0.0; width * height];
    for (y, to) in blurred.chunks_exact_mut(width).enumerate() {
        for (i, weight) in kernel.iter().enumerate() {
            let row = (y + i).saturating_sub(radius).min(height - 1);
            for (to, from) in to.iter_mut().zip(&across[row * width..]) {
                *to += weight * from;
            }
        }
    }
    Plane::from_raw(plane.width(), plane.height(), blurred).expect("one value per pixel")
}

/// Change of a plane per pixel to the right and down, by central differences.
pub(crate) fn gradient(plane: &Plane) -> [Plane; 2] {
    let (width, height) = (plane.width() as usize, plane.height() as usize);
    let at = |x: usize, y: usize| plane.as_raw()[y * width + x];
    let half = |low: f32, high: f32| (high - low) / 2.0;
    let right = plane_of(plane.dimensions(), |i| {
        let (x, y) = (i % width, i / width);
        half(at(x.saturating_sub(1), y), at((x + 1).min(width - 1), y))
    });
    let down = plane_of(plane.dimensions(), |i| {
        let (x, y) = (i % width, i / width);
        half(at(x, y.saturating_sub(1)), at(x, (y + 1).min(height - 1)))
    });
    [right, down]
}

/// The value at a point between pixels, bilinear; 0 outside the picture.
pub(crate) fn sample(plane: &Plane, [x, y]: [f32; 2]) -> f32 {
    let (width, height) = (plane.width() as usize, plane.height() as usize);
    if !(x >= 0.0 && y >= 0.0 && x <= (width - 1) as f32 && y <= (height - 1) as f32) {
        return 0.0;
    }
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let values = plane.as_raw();
    let row = |y: usize| values[y * width + left] * (1.0 - across) + values[y * width + right] * across;
    row(top) * (1.0 - down) + row(bottom) * down
}

/// The value below which a share of `values` lies (`share` 0 to 1); `None` without values.
pub(crate) fn quantile(mut values: Vec<f32>, share: f32) -> Option<f32> {
    let last = values.len().checked_sub(1)?;
    let place = (share * last as f32).round() as usize;
    Some(*values.select_nth_unstable_by(place.min(last), f32::total_cmp).1)
}

/// The value at which half of the weight lies below; `None` without weight.
pub(crate) fn weighted_median(mut pairs: Vec<(f32, f32)>) -> Option<f32> {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = pairs.iter().map(|pair| pair.1).sum::<f32>() / 2.0;
    let mut below = 0.0;
    pairs.iter().find_map(|&(value, weight)| {
        below += weight;
        (weight > 0.0 && below >= half).then_some(value)
    })
}
