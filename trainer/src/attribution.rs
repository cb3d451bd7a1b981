//! Which pixels an answer rests on: integrated gradients and occlusion.

use datasets::Samples;
use tch::{Device, Tensor};

use crate::arithmetic::Arithmetic;
use crate::error::Result;
use crate::layers::Mode;
use crate::network::Network;
use crate::normaliser::Normaliser;
use crate::parameters::Parameters;

/// Points of the path from the baseline to the image.
const STEPS: usize = 64;
/// Rows and columns of the square that is covered.
const WINDOW: usize = 5;
/// Images that are computed at a time.
const BATCH: i64 = 64;

/// What each pixel adds to the logit of a class, `[C, H, W]` in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The class.
    pub class: u8,
    /// Gradients along the straight path from an image of zeros, times the way (Sundararajan et al. 2017,
    /// arXiv:1703.01365): they add up to the difference of the two logits.
    pub integrated_gradients: Vec<f32>,
    /// How much the logit falls while a square is black, averaged over the squares that cover a pixel (Zeiler and Fergus
    /// 2014, arXiv:1311.2901).
    pub occlusion: Vec<f32>,
}

/// A network whose answers are explained.
pub struct Explained<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its weights, on the CPU.
    pub parameters: &'a Parameters,
    /// What is done to pixels of 0 to 255.
    pub normaliser: &'a Normaliser,
    /// Where the images are.
    pub samples: &'a Samples,
}

impl Explained<'_> {
    /// Explains the logit of `class` for an image.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn attribution(&self, index: usize, class: u8) -> Result<Attribution> {
        let pixels: Vec<f32> = self.samples.image(index).iter().map(|&pixel| pixel.into()).collect();
        let (image, black) = (self.input(&pixels)?, self.input(&vec![0.0; pixels.len()])?);
        // Only libtorch has gradients with respect to images.
        let network = self.network.clone().with_arithmetic(Arithmetic::Libtorch);
        let logits =
            |images: &Tensor| network.logits(images, self.parameters, Mode::Evaluate).select(1, class.into());
        Ok(Attribution {
            class,
            integrated_gradients: integrated_gradients(&image, &black, &logits)?,
            occlusion: occlusion(&image, &black, &logits)?,
        })
    }

    /// `[1, C, H, W]`, normalised.
    fn input(&self, pixels: &[f32]) -> Result<Tensor> {
        let shape = self.samples.shape;
        let mut pixels = pixels.to_vec();
        self.normaliser.apply(&mut pixels);
        let size = [1, shape.channels, shape.height, shape.width].map(|length| length as i64);
        Ok(Tensor::f_from_slice(&pixels)?.f_view(size)?.to_device(Device::Cpu))
    }
}

/// By the midpoint rule.
fn integrated_gradients(
    image: &Tensor,
    black: &Tensor,
    logits: &dyn Fn(&Tensor) -> Tensor,
) -> Result<Vec<f32>> {
    let way = image.f_sub(black)?;
    let places: Vec<f32> = (0..STEPS).map(|step| (step as f32 + 0.5) / STEPS as f32).collect();
    let places = Tensor::f_from_slice(&places)?.f_view([STEPS as i64, 1, 1, 1])?;
    let path = black.f_add(&way.f_mul(&places)?)?.detach().set_requires_grad(true);
    let sum = logits(&path).f_sum(tch::Kind::Float)?;
    let gradient = Tensor::f_run_backward(&[sum], &[&path], false, false)?;
    let mean = gradient[0].f_mean_dim(Some([0i64].as_slice()), true, tch::Kind::Float)?;
    values(&mean.f_mul(&way)?)
}

fn occlusion(image: &Tensor, black: &Tensor, logits: &dyn Fn(&Tensor) -> Tensor) -> Result<Vec<f32>> {
    let size = image.size();
    let (height, width) = (size[2] as usize, size[3] as usize);
    let (rows, columns) = (WINDOW.min(height), WINDOW.min(width));
    let corners: Vec<(usize, usize)> =
        (0..=height - rows).flat_map(|y| (0..=width - columns).map(move |x| (y, x))).collect();
    let (mut falls, mut counts) = (vec![0f64; height * width], vec![0f64; height * width]);
    tch::no_grad(|| -> Result<()> {
        let whole = logits(image).double_value(&[0]);
        for corners in corners.chunks(BATCH as usize) {
            let covered = image.f_repeat([corners.len() as i64, 1, 1, 1])?;
            for (place, &(y, x)) in corners.iter().enumerate() {
                let square = |images: &Tensor, index: i64| {
                    images.select(0, index).narrow(1, y as i64, rows as i64).narrow(
                        2,
                        x as i64,
                        columns as i64,
                    )
                };
                square(&covered, place as i64).copy_(&square(black, 0));
            }
            let found = logits(&covered);
            for (place, &(y, x)) in corners.iter().enumerate() {
                let fall = whole - found.double_value(&[place as i64]);
                for pixel in (y..y + rows).flat_map(|y| (x..x + columns).map(move |x| y * width + x)) {
                    falls[pixel] += fall;
                    counts[pixel] += 1.0;
                }
            }
        }
        Ok(())
    })?;
    let plane: Vec<f32> = falls.iter().zip(&counts).map(|(fall, count)| (fall / count) as f32).collect();
    // All channels are covered together.
    Ok(plane.repeat(size[1] as usize))
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let mut values = vec![0f32; tensor.numel()];
    tensor.contiguous().f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> (Tensor, Tensor) {
        let pixels: Vec<f32> = (0..64).map(|i| i as f32 / 64.0).collect();
        (
            Tensor::from_slice(&pixels).view([1, 1, 8, 8]),
            Tensor::zeros([1, 1, 8, 8], (tch::Kind::Float, Device::Cpu)),
        )
    }

    #[test]
    fn integrated_gradients_add_up_to_the_difference() {
        let (image, black) = ramp();
        let logits = |images: &Tensor| {
            images.pow_tensor_scalar(3).sum_dim_intlist([1i64, 2, 3].as_slice(), false, tch::Kind::Float)
        };
        let found = integrated_gradients(&image, &black, &logits).unwrap();
        let (sum, expected) = (found.iter().sum::<f32>(), logits(&image).double_value(&[0]) as f32);
        assert!((sum - expected).abs() < 1e-3 * expected, "{sum} {expected}");
        // The derivative of a sum of cubes, pixel by pixel.
        assert!((found[63] - (63f32 / 64.0).powi(3)).abs() < 1e-3);
    }

    #[test]
    fn covering_what_an_answer_rests_on_costs_most() {
        let (image, black) = ramp();
        // Only the last row counts.
        let logits = |images: &Tensor| {
            images.narrow(2, 7, 1).sum_dim_intlist([1i64, 2, 3].as_slice(), false, tch::Kind::Float)
        };
        let found = occlusion(&image, &black, &logits).unwrap();
        assert_eq!(found[0], 0.0);
        let most = found.iter().copied().fold(f32::MIN, f32::max);
        assert!(found[7 * 8 + 7] == most && most > 4.0, "{most}");
    }
}
