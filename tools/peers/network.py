"""The tutorial's network in PyTorch."""

from torch import nn

STAGES, FILTERS = [3, 4, 6], [64, 128, 256, 512]


def norm(channels):
    return nn.BatchNorm2d(channels, eps=2e-5)


def conv(inputs, outputs, side, stride=1):
    return nn.Conv2d(inputs, outputs, side, stride, padding=0 if stride > 1 else side // 2, bias=False)


class Module(nn.Module):
    def __init__(self, inputs, outputs, stride, first):
        super().__init__()
        inner = outputs // 4
        self.norm1, self.conv1 = norm(inputs), conv(inputs, inner, 1)
        self.norm2, self.conv2 = norm(inner), conv(inner, inner, 3, stride)
        self.norm3, self.conv3 = norm(inner), conv(inner, outputs, 1)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride > 1 else nn.Identity()
        self.shortcut = conv(inputs, outputs, 1, stride) if first else None

    def forward(self, x):
        active = self.norm1(x).relu()
        inner = self.conv2(self.pad(self.norm2(self.conv1(active)).relu()))
        inner = self.conv3(self.norm3(inner).relu())
        return inner + (x if self.shortcut is None else self.shortcut(active))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_norm = norm(3)
        self.stem = nn.ModuleDict({"conv": conv(3, FILTERS[0], 5), "norm": norm(FILTERS[0])})
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages, inputs = [], FILTERS[0]
        for stage, (count, outputs) in enumerate(zip(STAGES, FILTERS[1:])):
            modules = []
            for module in range(count):
                modules.append(Module(inputs, outputs, 2 if stage and not module else 1, not module))
                inputs = outputs
            stages.append(nn.Sequential(*modules))
        self.stages = nn.Sequential(*stages)
        self.head = nn.ModuleDict({"norm": norm(inputs), "dense": nn.Linear(inputs, 2)})

    def forward(self, x):
        x = self.pool(self.stem.norm(self.stem.conv(self.input_norm(x))).relu())
        return self.head.dense(self.head.norm(self.stages(x)).relu().mean((2, 3)))
