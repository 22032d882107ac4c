"""Layers of real networks by name, as data: what tests and benchmarks of ops run over."""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """A convolution of (H, W, C) images with K square filters."""

    name: str
    h: int
    w: int
    c: int
    k: int
    size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return self.size, self.size, self.c // self.groups, self.k

    def flops(self) -> int:
        """Floating-point operations of the forward pass for one image."""
        p, q = ((n + 2 * self.padding - self.size) // self.stride + 1 for n in (self.h, self.w))
        return 2 * p * q * self.size**2 * (self.c // self.groups) * self.k

    def scaled(self, flops: int) -> Conv:
        """The layer on the largest image that needs no more than `flops`, or the smallest."""
        layer = self
        while layer.flops() > flops:
            smaller = layer._replace(h=(layer.h + 1) // 2, w=(layer.w + 1) // 2)
            if smaller.h == layer.h or smaller.h + 2 * self.padding < self.size + self.stride:
                break
            layer = smaller
        return layer


class Pool(NamedTuple):
    """A pooling of (H, W, C) images over square windows."""

    name: str
    kind: str  # "max" or "average"
    h: int
    w: int
    c: int
    size: int
    stride: int


class Dense(NamedTuple):
    """A fully connected layer from C to K features."""

    name: str
    c: int
    k: int


class Map(NamedTuple):
    """An activation of (H, W, C) values; dense layers have H = W = 1."""

    name: str
    kind: str
    h: int
    w: int
    c: int


class Softmax(NamedTuple):
    """A softmax over K classes."""

    name: str
    k: int


# LeCun et al. 1998, on 28 x 28 images padded by 2; C3 is connected completely, as is usual now.
LENET_CONV = (
    Conv("lenet.conv1", 28, 28, 1, 6, 5, padding=2),
    Conv("lenet.conv2", 14, 14, 6, 16, 5),
)
# The variant of Caffe's examples, whose poolings are maxima.
LENET_CAFFE_CONV = (
    Conv("lenet.caffe.conv1", 28, 28, 1, 20, 5),
    Conv("lenet.caffe.conv2", 12, 12, 20, 50, 5),
)
LENET_POOL = (
    Pool("lenet.pool1", "average", 28, 28, 6, 2, 2),
    Pool("lenet.pool2", "average", 10, 10, 16, 2, 2),
)
LENET_DENSE = (
    Dense("lenet.fc1", 400, 120),
    Dense("lenet.fc2", 120, 84),
    Dense("lenet.fc3", 84, 10),
)

# Krizhevsky 2014 ("One weird trick for parallelizing convolutional neural networks") as torchvision
# has it: AlexNet without groups. Images of 227 x 227 need no padding in conv1.
ALEXNET_CONV = (
    Conv("alexnet.conv1", 227, 227, 3, 64, 11, stride=4),
    Conv("alexnet.conv2", 27, 27, 64, 192, 5, padding=2),
    Conv("alexnet.conv3", 13, 13, 192, 384, 3, padding=1),
    Conv("alexnet.conv4", 13, 13, 384, 256, 3, padding=1),
    Conv("alexnet.conv5", 13, 13, 256, 256, 3, padding=1),
)
# Krizhevsky, Sutskever and Hinton 2012: the layers whose two towers are groups.
ALEXNET_2012_CONV = (
    Conv("alexnet2012.conv2", 27, 27, 96, 256, 5, padding=2, groups=2),
    Conv("alexnet2012.conv4", 13, 13, 384, 384, 3, padding=1, groups=2),
    Conv("alexnet2012.conv5", 13, 13, 384, 256, 3, padding=1, groups=2),
)
ALEXNET_POOL = (
    Pool("alexnet.pool1", "max", 55, 55, 64, 3, 2),
    Pool("alexnet.pool2", "max", 27, 27, 192, 3, 2),
    Pool("alexnet.pool5", "max", 13, 13, 256, 3, 2),
)
ALEXNET_DENSE = (
    Dense("alexnet.fc6", 9216, 4096),
    Dense("alexnet.fc7", 4096, 4096),
    Dense("alexnet.fc8", 4096, 1000),
)

# Simonyan and Zisserman 2015, configuration D; conv3_3 repeats conv3_2 and so on, see its table 1.
VGG16_CONV = (
    Conv("vgg16.conv1_1", 224, 224, 3, 64, 3, padding=1),
    Conv("vgg16.conv1_2", 224, 224, 64, 64, 3, padding=1),
    Conv("vgg16.conv2_1", 112, 112, 64, 128, 3, padding=1),
    Conv("vgg16.conv2_2", 112, 112, 128, 128, 3, padding=1),
    Conv("vgg16.conv3_1", 56, 56, 128, 256, 3, padding=1),
    Conv("vgg16.conv3_2", 56, 56, 256, 256, 3, padding=1),
    Conv("vgg16.conv3_3", 56, 56, 256, 256, 3, padding=1),
    Conv("vgg16.conv4_1", 28, 28, 256, 512, 3, padding=1),
    Conv("vgg16.conv4_2", 28, 28, 512, 512, 3, padding=1),
    Conv("vgg16.conv4_3", 28, 28, 512, 512, 3, padding=1),
    Conv("vgg16.conv5_1", 14, 14, 512, 512, 3, padding=1),
    Conv("vgg16.conv5_2", 14, 14, 512, 512, 3, padding=1),
    Conv("vgg16.conv5_3", 14, 14, 512, 512, 3, padding=1),
)
# Howard et al. 2017, table 1: one filter per channel.
MOBILENET_DEPTHWISE = (
    Conv("mobilenet.dw1", 112, 112, 32, 32, 3, padding=1, groups=32),
    Conv("mobilenet.dw4", 56, 56, 128, 128, 3, stride=2, padding=1, groups=128),
    Conv("mobilenet.dw7", 14, 14, 512, 512, 3, padding=1, groups=512),
)
VGG16_POOL = tuple(
    Pool(f"vgg16.pool{i}", "max", n, n, c, 2, 2)
    for i, n, c in ((1, 224, 64), (2, 112, 128), (3, 56, 256), (4, 28, 512), (5, 14, 512))
)
VGG16_DENSE = (
    Dense("vgg16.fc6", 25088, 4096),
    Dense("vgg16.fc7", 4096, 4096),
    Dense("vgg16.fc8", 4096, 1000),
)

# Convolutions with the window and the stride of the maximum that follows.
CONV_POOL_LAYERS = (
    *((layer, 2, 2) for layer in LENET_CAFFE_CONV),
    *((ALEXNET_CONV[i], 3, 2) for i in (0, 1, 4)),
    *((VGG16_CONV[i], 2, 2) for i in (1, 3, 6, 9, 12)),
)

# What follows the layer of that name.
LENET_ACTIVATION = (
    Map("lenet.conv1", "tanh", 28, 28, 6),
    Map("lenet.conv2", "tanh", 10, 10, 16),
    Map("lenet.fc1", "tanh", 1, 1, 120),
    Map("lenet.fc2", "tanh", 1, 1, 84),
)
ALEXNET_ACTIVATION = (
    Map("alexnet.conv1", "relu", 55, 55, 64),
    Map("alexnet.conv3", "relu", 13, 13, 384),
    Map("alexnet.fc6", "relu", 1, 1, 4096),
)
VGG16_ACTIVATION = (
    Map("vgg16.conv1_1", "relu", 224, 224, 64),
    Map("vgg16.conv3_1", "relu", 56, 56, 256),
    Map("vgg16.conv5_1", "relu", 14, 14, 512),
)

CONV_LAYERS = (
    *LENET_CONV,
    *ALEXNET_CONV,
    *ALEXNET_2012_CONV,
    *VGG16_CONV,
    *MOBILENET_DEPTHWISE,
)
POOL_LAYERS = (*LENET_POOL, *ALEXNET_POOL, *VGG16_POOL)
DENSE_LAYERS = (*LENET_DENSE, *ALEXNET_DENSE, *VGG16_DENSE)
ACTIVATION_LAYERS = (*LENET_ACTIVATION, *ALEXNET_ACTIVATION, *VGG16_ACTIVATION)
SOFTMAX_LAYERS = (Softmax("lenet.softmax", 10), Softmax("alexnet.softmax", 1000))
