use malaria_resnet::libtorch::{DeviceChoice, describe};
use malaria_resnet::model::{ResNet, ResNetConfig};
use tch::{Kind, Tensor};

fn main() -> Result<(), malaria_resnet::Error> {
    let device = DeviceChoice::Auto.resolve()?;
    let model = ResNet::new(&ResNetConfig::tutorial(), 0, device)?;
    // Five black pictures: [N, 3, H, W], float32 in [0, 1].
    let images = Tensor::zeros([5, 3, 64, 64], (Kind::Float, device));
    let probabilities = model.forward(&images, false).softmax(-1, Kind::Float);
    println!("{:?} from {} parameters on the {}", probabilities.size(), model.trainable_count(), describe(device));
    Ok(())
}
