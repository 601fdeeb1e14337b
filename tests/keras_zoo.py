"""The zoo's networks in Keras, written from their papers alone, as references for tests."""

import keras

BATCH_NORM = {"momentum": 0.99, "epsilon": 1e-3}


class Builder:
    """Makes layers and remembers which public name each of their variables has."""

    def __init__(self):
        self.variables = {}  # public name -> Keras variable

    def conv(self, x, name, filters, kernel, stride=1, groups=1, use_bias=False):
        if groups > 1:  # on CPUs Keras has no gradient of grouped convolutions
            return self._grouped(x, name, filters, kernel, stride, groups)
        layer = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=use_bias)
        y = layer(x)
        self.variables[f"Model/{name}/w"] = layer.kernel
        if use_bias:
            self.variables[f"Model/{name}/b"] = layer.bias
        return y

    def _grouped(self, x, name, filters, kernel, stride, groups):
        """As a full convolution whose kernel is zero between groups."""
        layer = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False)
        y = layer(x)
        self.variables[f"Model/{name}/w"] = (layer.kernel, groups)
        return y

    def bn(self, x, name):
        layer = keras.layers.BatchNormalization(**BATCH_NORM)
        y = layer(x)
        found = {"gamma": layer.gamma, "beta": layer.beta}
        found |= {"ema_mean": layer.moving_mean, "ema_var": layer.moving_variance}
        self.variables |= {f"Model/{name}/{key}": value for key, value in found.items()}
        return y

    def bn_relu(self, x, name):
        return keras.layers.ReLU()(self.bn(x, name))

    def head(self, x, num_classes=10):
        layer = keras.layers.Dense(num_classes)
        y = layer(keras.layers.GlobalAveragePooling2D()(x))
        self.variables |= {"Model/logit/w": layer.kernel, "Model/logit/b": layer.bias}
        return y


def shortcut_a(x, filters, stride):
    missing = filters - x.shape[-1]
    if stride > 1:
        x = keras.layers.MaxPooling2D(1, stride)(x)
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, missing]]) if missing else x


def resnet_v1(filters, units, shortcut, bottleneck=None):
    """He et al. 2015; `bottleneck`: (inner widths of the stages, groups), as ResNeXt has them."""
    b, inputs = Builder(), keras.Input([32, 32, 3])
    x = b.bn_relu(b.conv(inputs, "init/init_conv", 64 if bottleneck else 16, 3), "init/init_bn")
    for s, width in enumerate(filters, 1):
        for u in range(units):
            name, stride = f"unit_{s}_{u}", 2 if s > 1 and u == 0 else 1
            if bottleneck:
                inner, groups = bottleneck[0][s - 1], bottleneck[1]
                y = b.conv(x, f"{name}/sub1/conv1", inner, 1)
                y = b.bn_relu(y, f"{name}/sub1/bn1")
                y = b.conv(y, f"{name}/sub2/conv2", inner, 3, stride, groups)
                y = b.bn_relu(y, f"{name}/sub2/bn2")
                y = b.bn(b.conv(y, f"{name}/sub3/conv3", width, 1), f"{name}/sub3/bn3")
            else:
                y = b.conv(x, f"{name}/sub1/conv1", width, 3, stride)
                y = b.bn_relu(y, f"{name}/sub1/bn1")
                y = b.bn(b.conv(y, f"{name}/sub2/conv2", width, 3), f"{name}/sub2/bn2")
            if x.shape[-1] != width and shortcut == "B":
                x = b.bn(b.conv(x, f"{name}/project", width, 1, stride), f"{name}/project/bn")
            elif x.shape[-1] != width:
                x = shortcut_a(x, width, stride)
            x = keras.layers.ReLU()(x + y)
    return keras.Model(inputs, b.head(x)), b.variables


def resnet_v2(filters, units, shortcut, bottleneck=False, shared=False):
    """He et al. 2016; `shared`: a stage's first shortcut starts behind its BN and ReLU."""
    b, inputs = Builder(), keras.Input([32, 32, 3])
    x = b.bn_relu(b.conv(inputs, "init/init_conv", 16, 3), "init/init_bn")
    for s, width in enumerate(filters, 1):
        for u in range(units):
            name, stride = f"unit_{s}_{u}", 2 if s > 1 and u == 0 else 1
            y = x if (s, u) == (1, 0) else b.bn_relu(x, f"{name}/sub1/bn1")
            x = y if shared and u == 0 else x
            if bottleneck:
                y = b.conv(y, f"{name}/sub1/conv1", width // 4, 1)
                y = b.bn_relu(y, f"{name}/sub2/bn2")
                y = b.conv(y, f"{name}/sub2/conv2", width // 4, 3, stride)
                y = b.bn_relu(y, f"{name}/sub3/bn3")
                y = b.conv(y, f"{name}/sub3/conv3", width, 1)
            else:
                y = b.conv(y, f"{name}/sub1/conv1", width, 3, stride)
                y = b.bn_relu(y, f"{name}/sub2/bn2")
                y = b.conv(y, f"{name}/sub2/conv2", width, 3)
            if x.shape[-1] != width and shortcut == "B":
                x = b.conv(x, f"{name}/project", width, 1, stride)
            elif x.shape[-1] != width:
                x = shortcut_a(x, width, stride)
            x = x + y
    x = b.bn_relu(x, "unit_last/final_bn")
    return keras.Model(inputs, b.head(x)), b.variables


def vgg(filters, units):
    """Simonyan & Zisserman 2014, with batch norm."""
    b, x = Builder(), keras.Input([32, 32, 3])
    inputs = x
    for s, (width, count) in enumerate(zip(filters, units, strict=True), 1):
        for u in range(count):
            x = b.conv(x, f"unit_{s}_{u}/conv", width, 3, use_bias=True)
            x = b.bn_relu(x, f"unit_{s}_{u}/bn")
        x = keras.layers.MaxPooling2D(2)(x)
    return keras.Model(inputs, b.head(x)), b.variables
