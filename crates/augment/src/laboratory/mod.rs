//! Cells as another laboratory would have stained, photographed and cut them out.
//!
//! Each cell is put back on glass with a piece of a neighbour beside it, then stained, focused, photographed with fewer
//! pixels, noise and JPEG, and cut out again on black.

mod camera;
mod config;
mod jpeg;
mod outline;
mod params;
mod stain;

use tch::Tensor;

pub(crate) use self::params::sample;
pub use self::{config::LaboratoryConfig, params::LaboratoryParams};
use crate::{
    error::Error,
    images::{above, on_chosen},
};

/// Changes each of `images`, `[N, 3, H, W]` in `[0, 1]`, as its parameters say; the result is in `[0, 1]`, and contiguous.
pub(crate) fn apply(images: &Tensor, params: &[LaboratoryParams]) -> Result<Tensor, Error> {
    let images = on_chosen(images, params, LaboratoryParams::adjoins, outline::neighbours)?.f_contiguous()?;
    let (colours, shares) = outline::lift(&images)?;
    let stained = on_chosen(&colours, params, LaboratoryParams::stains, stain::restain)?;
    let on_glass = stained.f_where_self(&above(&shares, 0.0)?, &stain::glass(params, &images)?)?;
    let focused = on_chosen(&on_glass, params, LaboratoryParams::focuses, camera::focus)?;
    let shares = on_chosen(&shares, params, LaboratoryParams::cuts_out, outline::recut)?;
    camera::photograph(&focused, &shares, params)
}
