//! A part of a network, ready to run: as steps, or as a plan of tract where an operator has no step.

use std::sync::{Arc, OnceLock};

use datasets::ImageShape;
use tract_onnx::prelude::*;

use crate::executor::{Arena, Executor, Input};
use crate::network::{Network, guarded, problem};

/// Images that go through the convolutions at a time: enough to fill a microkernel's rows with their tiles (8 take 1.07 of
/// the time for `mnist-lite`, whose last convolution has one tile), few enough to stay in the cache (24 take 1.1).
const CONVOLUTION_BATCH: usize = 12;

/// Bytes of values of one image above which convolutions take one image at a time: more would not
/// stay in the cache, but in memory.
const LARGE: usize = 32 << 20;

/// The convolutions of a network: from pixels.
pub(crate) enum Body {
    Steps { executor: Executor, shape: ImageShape, images: usize },
    Tract(Box<TractBody>),
}

/// What is only known for so many images: some operators of tract are many times slower for a number
/// that is not known.
pub(crate) struct TractBody {
    network: Network,
    shape: ImageShape,
    /// Images at a time, where there are as many.
    images: usize,
    single: Plan,
    /// For so many images, made when first needed.
    several: OnceLock<std::result::Result<Plan, String>>,
}

/// The dense layers of a network: from features.
pub(crate) enum Head {
    Steps(Executor),
    Tract(Plan),
}

/// One thread's buffers for a [`Body`].
pub(crate) enum BodyState {
    Steps(Box<Arena>),
    Tract(Box<TractState>),
}

/// For one image, and for several once they have come.
pub(crate) struct TractState {
    single: TypedSimpleState,
    several: Option<TypedSimpleState>,
}

/// One thread's buffers for a [`Head`].
pub(crate) enum HeadState {
    Steps(Arena),
    Tract(TypedSimpleState),
}

pub(crate) type Plan = Arc<TypedRunnableModel>;

impl Body {
    pub(crate) fn new(network: Network, shape: ImageShape) -> TractResult<Body> {
        let images = if network.values > LARGE { 1 } else { CONVOLUTION_BATCH };
        if let Some(executor) = guarded(network.is_foreign, || Executor::of(&network.body))? {
            return Ok(Body::Steps { executor, shape, images });
        }
        let body = network.body_of(1)?;
        let single = guarded(network.is_foreign, || plan(body))?;
        Ok(Body::Tract(Box::new(TractBody { network, shape, images, single, several: OnceLock::new() })))
    }

    pub(crate) fn state(&self) -> TractResult<BodyState> {
        Ok(match self {
            Body::Steps { .. } => BodyState::Steps(Box::default()),
            Body::Tract(body) => {
                BodyState::Tract(Box::new(TractState { single: body.single.spawn()?, several: None }))
            }
        })
    }

    /// Appends what it makes of images `[C, H, W]`.
    pub(crate) fn run(&self, state: &mut BodyState, pixels: &[u8], output: &mut Vec<f32>) -> TractResult<()> {
        match (self, state) {
            (Body::Steps { executor, shape, images }, BodyState::Steps(arena)) => {
                for pixels in pixels.chunks(images * shape.numel()) {
                    executor.run(Input::Pixels(pixels), pixels.len() / shape.numel(), arena, output);
                }
                Ok(())
            }
            (Body::Tract(body), BodyState::Tract(state)) => body.run(state, pixels, output),
            _ => unreachable!("a state is used with the body that made it"),
        }
    }
}

impl TractBody {
    fn several(&self) -> TractResult<&Plan> {
        let make = || {
            let body = self.network.body_of(self.images);
            let plan = body.and_then(|body| guarded(self.network.is_foreign, || plan(body)));
            plan.map_err(|e| problem(&e))
        };
        self.several.get_or_init(make).as_ref().map_err(|problem| TractError::msg(problem.clone()))
    }

    fn run(&self, state: &mut TractState, pixels: &[u8], output: &mut Vec<f32>) -> TractResult<()> {
        let TractState { single, several } = state;
        let numel = self.shape.numel();
        // Where images are taken one at a time, the plan for one does it.
        let group = if self.images == 1 { usize::MAX } else { self.images * numel };
        let (groups, rest) = pixels.split_at(pixels.len() - pixels.len() % group);
        for images in groups.chunks_exact(group) {
            let state = match several.take() {
                Some(state) => state,
                None => self.several()?.spawn()?,
            };
            output.extend(self.run_plan(several.insert(state), images)?);
        }
        for image in rest.chunks_exact(numel) {
            output.extend(self.run_plan(single, image)?);
        }
        Ok(())
    }

    fn run_plan(&self, state: &mut TypedSimpleState, images: &[u8]) -> TractResult<Vec<f32>> {
        let ImageShape { channels, height, width } = self.shape;
        let count = images.len() / self.shape.numel();
        let input = Tensor::from_shape(&[count, channels, height, width], images)?;
        first(&state.run(tvec![input.into()])?)
    }
}

impl Head {
    pub(crate) fn new(model: TypedModel) -> TractResult<Head> {
        Ok(match Executor::of(&model)? {
            Some(executor) => Head::Steps(executor),
            None => Head::Tract(plan(model)?),
        })
    }

    pub(crate) fn state(&self) -> TractResult<HeadState> {
        Ok(match self {
            Head::Steps(_) => HeadState::Steps(Arena::default()),
            Head::Tract(plan) => HeadState::Tract(plan.spawn()?),
        })
    }

    /// Appends what it makes of the features of `count` images.
    pub(crate) fn run(
        &self,
        state: &mut HeadState,
        features: &[f32],
        count: usize,
        output: &mut Vec<f32>,
    ) -> TractResult<()> {
        match (self, state) {
            (Head::Steps(executor), HeadState::Steps(arena)) => {
                executor.run(Input::Features(features), count, arena, output);
            }
            (Head::Tract(_), HeadState::Tract(state)) => {
                let input = Tensor::from_shape(&[count, features.len() / count], features)?;
                output.extend(first(&state.run(tvec![input.into()])?)?);
            }
            _ => unreachable!("a state is used with the head that made it"),
        }
        Ok(())
    }
}

pub(crate) fn plan(model: TypedModel) -> TractResult<Plan> {
    model.into_optimized()?.into_runnable()
}

/// The values of the first output.
pub(crate) fn first(outputs: &[TValue]) -> TractResult<Vec<f32>> {
    let output = outputs.first().ok_or_else(|| TractError::msg("no output"))?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}
