from nbtools import *
md("""
# 3. A convolutional network

**Can a network find by itself what to look for in a chest X-ray?**

| | |
| --- | --- |
| **You will do** | slide a kernel over a film by hand, build the network layer by layer, train it, look inside |
| **You will learn** | convolution, pooling, ReLU, sigmoid, dropout; epochs, loss, overfitting; how to read learning curves |
| **You need** | notebooks 1 and 2: films as arrays, validation and test, sensitivity and specificity |
| **Time** | about 60 minutes, of which the computer needs 3 |
""")
code("", "setup", IGN)
md("""
In notebook 2, a film shifted by four pixels became a stranger to the model. A **convolutional neural network** (CNN) looks
for small patterns wherever they stand. Let us build one from its parts.

## Convolution: a small window slides over the film
""")
code("""
from helpers import get_metadata, get_train_data, split_by_patient

metadata = get_metadata()
films, labels = get_train_data()
fit, validation = split_by_patient(metadata)
""", IGN)
md("""
A **kernel** is a small table of numbers, here 3 x 3. Lay it over a corner of the film, multiply each number with the grey
value below it, and add up the nine products. The sum is one pixel of the result. Slide on by one pixel and repeat.
""")
code("""
import matplotlib.pyplot as plt
import numpy as np
""")
code("""
def convolve(picture, kernel):
    height, width = picture.shape
    result = np.zeros((height - 2, width - 2))
    for row in range(height - 2):
        for column in range(width - 2):
            result[row, column] = (picture[row : row + 3, column : column + 3] * kernel).sum()
    return result
""")
md("""
First on a tiny picture, so that you can check every step: dark on the left, bright on the right.
""")
code("""
tiny = np.array([[0, 0, 0, 1, 1, 1]] * 5, dtype=float)
upright_edge = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
convolve(tiny, upright_edge)
""")
md("""
The result is 0 where nothing changes and 4 where dark turns to bright. This kernel finds upright edges. Here are the steps
of the first row:
""")
code("""
from helpers import show_figure

figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
for step, ax in enumerate(axes):
    ax.imshow(tiny, cmap="gray", vmin=-0.5, vmax=1.5)
    window = plt.Rectangle((step - 0.5, -0.5), 3, 3, fill=False, edgecolor="#de8f05", linewidth=4)
    ax.add_patch(window)
    ax.set_title(f"step {step + 1}: sum = {convolve(tiny, upright_edge)[0, step]:.0f}")
    ax.axis("off")
show_figure("Four copies of a small picture. An orange window of 3 x 3 moves one pixel to the right each time.", films=False)
""")
md("""
Now on a film, with three kernels: one that blurs, one for upright edges, one for level edges.
""")
code("""
kernels = {
    "blur": np.full((3, 3), 1 / 9),
    "upright edges": upright_edge,
    "level edges": upright_edge.T,
}
film = films[0, :, :, 0]
""")
code("""
from helpers import plot_films

results = [convolve(film, kernel) for kernel in kernels.values()]
_ = plot_films([film, *results], ["film", *kernels], columns=4)
show_figure("A chest film and three results: blurred, with upright edges bright or dark, with level edges bright or dark.")
""")
md("""
The same nine numbers, slid over the whole film, draw the borders of the lungs, or the ribs. In a network nobody writes the
numbers down. It *learns* them.

In Keras a convolution is a layer, `Conv2D`. Does it calculate what we did by hand?
""")
code("""
from helpers import import_keras

keras = import_keras()
""")
code("""
layer = keras.layers.Conv2D(1, 3, use_bias=False)
layer.build((None, 64, 64, 1))
layer.set_weights([upright_edge.reshape(3, 3, 1, 1).astype("float32")])
by_keras = np.array(layer(film.reshape(1, 64, 64, 1)))[0, :, :, 0]
""")
code("""
assert np.allclose(by_keras, convolve(film, upright_edge), atol=1e-5)
print("Keras and our two loops agree; the result has shape", by_keras.shape)
""")
md("""
They agree. The result is two pixels smaller, since the window cannot leave the film. With `padding="same"` the layer adds a
margin of zeros, and the size stays.

## Pooling: keep the strongest answer

Where exactly an edge stands does not matter much. **Max pooling** keeps the largest of each 2 x 2 pixels. The picture
shrinks to a quarter, and a small shift changes little.
""")
code("""
edges = np.abs(convolve(film, upright_edge))
pooled = edges.reshape(31, 2, 31, 2).max(axis=(1, 3))
""")
code("""
by_keras = np.array(keras.layers.MaxPooling2D(2)(edges.reshape(1, 62, 62, 1)))[0, :, :, 0]

assert np.allclose(by_keras, pooled)
print(edges.shape, "becomes", pooled.shape)
""")
code("""
_ = plot_films([edges, pooled], ["62 x 62 edges", "after pooling: 31 x 31"], columns=2)
show_figure("The edges of a chest film, and the same after pooling: coarser, but the bright lines are still there.")
""")
md("""
## ReLU, sigmoid, softmax: what happens to a sum

After each convolution a simple function bends the numbers. Without it, many layers could do no more than one.

- **ReLU** sets negative numbers to zero: a pattern is there, or it is not.
- **Sigmoid** is the logistic curve of notebook 2. It turns the last number into a probability.
- **Softmax** does the same for several classes at once: positive shares that add up to 1.
""")
code("""
numbers = np.linspace(-4, 4, 81)
relu = np.maximum(numbers, 0)
sigmoid = 1 / (1 + np.exp(-numbers))
softmax = np.exp([0.5, 2, 1]) / np.exp([0.5, 2, 1]).sum()
""")
code("""
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
_ = axes[0].plot(numbers, relu)
_ = axes[1].plot(numbers, sigmoid)
_ = axes[2].bar(["0.5", "2.0", "1.0"], softmax)
for ax, name in zip(axes, ["ReLU", "sigmoid", "softmax of 0.5, 2 and 1"]):
    ax.set_title(name)
show_figure("ReLU is flat, then rises. Sigmoid is S-shaped. Softmax: bars that add up to 1.", films=False)
""")
md("""
## Fully connected layers and dropout

At the end, a **fully connected** layer (`Dense`) connects every number to every neuron, like logistic regression does. A
**neuron** is one weighted sum with its bend. Six numbers and four neurons make 24 weights, one for each line:
""")
code("""
inputs, neurons = np.meshgrid(range(6), range(1, 5))
_ = plt.plot([0, 1], [inputs.ravel(), neurons.ravel()], color="lightgray")
_ = plt.plot(np.zeros(6), range(6), "o", np.ones(4), range(1, 5), "s", markersize=12)
_ = plt.axis("off")
show_figure("Six dots on the left, each joined by a line to each of four squares.", films=False)
""")
md("""
**Dropout** switches off a random part of the numbers, another part in each training step. So no neuron can rely on a single
number. When the trained network is used, nothing is switched off. On a film it would look like this:
""")
code("""
kept = np.random.default_rng(0).random(film.shape) > 0.5
_ = plot_films([film, film * kept], ["all numbers", "dropout 0.5"], columns=2)
show_figure("A chest film, and the same film with half of its pixels black, at random places.")
""")
md("""
You still see the chest. A network that has learned with gaps does not depend on a single pixel.

## The network

| layer | why |
| --- | --- |
| `Conv2D(32, 3)`, ReLU | 32 kernels look for 32 small patterns |
| `MaxPooling2D(2)` | 64 x 64 becomes 32 x 32 |
| `Dropout(0.5)` | against learning by heart |
| `Conv2D(32, 3)`, ReLU | patterns of patterns: edges become corners, ribs, spots |
| `MaxPooling2D(2)` | 32 x 32 becomes 16 x 16 |
| `Flatten` | one long row of 8,192 numbers |
| `Dropout(0.5)`, `Dense(32)`, ReLU | 32 neurons weigh them |
| `Dropout(0.5)`, `Dense(1)`, sigmoid | one number: the probability of pneumonia |
""")
code("""
from keras import layers

from helpers import SEED

keras.utils.set_random_seed(SEED)
model = keras.Sequential([keras.Input((64, 64, 3))])
""")
md("""
An empty network that expects films of 64 x 64 pixels with 3 colours. The seed makes its random start the same every time.
Now the first block ...
""")
code("""
model.add(layers.Conv2D(32, 3, padding="same", activation="relu"))
model.add(layers.MaxPooling2D(2))
model.add(layers.Dropout(0.5))
""")
md("""
... the second block ...
""")
code("""
model.add(layers.Conv2D(32, 3, padding="same", activation="relu"))
model.add(layers.MaxPooling2D(2))
model.add(layers.Flatten())
""")
md("""
... and the part that decides.
""")
code("""
model.add(layers.Dropout(0.5))
model.add(layers.Dense(32, activation="relu"))
model.add(layers.Dropout(0.5))
model.add(layers.Dense(1, activation="sigmoid"))
""")
code("""
for layer in model.layers:
    print(f"{layer.name:16} {str(layer.output.shape):22} {layer.count_params():8,} weights")

assert model.count_params() == 272_353
""")
md("""
The whole network has 272,353 weights; nearly all of them are in the first `Dense` layer. They start as small random numbers.

**Training** means: show the network some films (a **batch**, here 32), compare its probabilities with the truth, and push
every weight a little in the direction that makes the mistake smaller. How wrong it was is the **loss**; for two classes one
takes *binary cross-entropy*, which punishes confident mistakes hardest. The rule for the push is the **optimizer**, here
RMSprop, and its size is the **learning rate**, here 0.0001, which falls slowly. One pass over all fit films is an **epoch**.
""")
code("""
falling_rate = keras.optimizers.schedules.InverseTimeDecay(1e-4, decay_steps=1, decay_rate=1e-6)
rmsprop = keras.optimizers.RMSprop(falling_rate)
model.compile(optimizer=rmsprop, loss="binary_crossentropy", metrics=["accuracy"])
""")
md("""
The same network stands in `helpers.py` as `build_cnn`, so that later notebooks can use it.

## Train

15 epochs take about a minute on two cores. After each one, Keras tries the network on the validation films, and the weights
of the best epoch are kept. If the training is interrupted, run the notebook again: it goes on with the epoch that it was in.
(If you change the network after an interruption, delete the folder `build/weights` first.)
""")
code("""
import time

from helpers import QUICK, training_callbacks

EPOCHS = 6 if QUICK else 15
fit_films, fit_labels = films[fit], labels[fit]
validation_films, validation_labels = films[validation], labels[validation]
""")
code("""
start = time.perf_counter()
history = model.fit(
    fit_films,
    fit_labels,
    validation_data=(validation_films, validation_labels),
    epochs=EPOCHS,
    batch_size=32,
    verbose=0,
    callbacks=training_callbacks("cnn", EPOCHS),
)
seconds = time.perf_counter() - start
""", IGN)
md("""
## Read the curves
""")
code("""
from helpers import plot_history

_ = plot_history(history)
show_figure("Accuracy rises and loss falls over the epochs, on fit and on validation films. The best epoch is marked.")
""")
md("""
- Both accuracies leave the dashed line (chance) quickly.
- The validation curve may lie *above* the other one. Dropout works only during training, so the network is handicapped
  there.
- While the validation loss still falls, more epochs help. Where it turns and rises, the network begins to learn by heart.

## Overfitting, on purpose

What does learning by heart look like? Take only 40 films, leave out dropout, and train for 60 epochs.
""")
code("""
keras.utils.set_random_seed(SEED)
greedy = keras.Sequential(
    [
        keras.Input((64, 64, 3)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
""")
code("""
others = (validation_films, validation_labels)
greedy.compile(keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
overfitted = greedy.fit(
    fit_films[:40], fit_labels[:40], validation_data=others, epochs=60, batch_size=10, verbose=0
)
""", IGN)
code("""
_ = plot_history(overfitted)
show_figure("Training accuracy climbs to 1 while validation accuracy stays behind; the validation loss turns upwards.")
""")
code("""
losses = overfitted.history["val_loss"]

assert overfitted.history["accuracy"][-1] > 0.95 > overfitted.history["val_accuracy"][-1]
print("The last validation loss is worse than the best one:", bool(losses[-1] > min(losses)))
""")
md("""
On the films that it knows, the network is perfect. On others it is not, and its loss grows: it becomes ever more sure of
its mistakes. This is **overfitting**. Remedies: more films, dropout, and stopping at the best epoch.

## The exam

Take the weights of the best epoch, measure once more on validation films, then once on the test films.
""")
code("""
from helpers import load_best_weights, save_result

load_best_weights(model, "cnn")
probabilities = model.predict(validation_films, verbose=0)
""", IGN)
code("""
train_rows = metadata[metadata["split"] == "train"]["index"].to_numpy()
validation_rows = train_rows[validation]
validation_score = save_result(
    "cnn", "validation", validation_rows, validation_labels, probabilities, seconds, notebook=3
)
""", IGN)
code("""
from helpers import get_test_data

test_films, test_labels = get_test_data()
probabilities = model.predict(test_films, verbose=0)
""", IGN)
code("""
test_rows = metadata[metadata["split"] == "test"]["index"]
test_score = save_result(
    "cnn", "test", test_rows, test_labels, probabilities, seconds, notebook=3
)
""")
code("""
import pandas as pd

pd.DataFrame({"validation": validation_score, "test": test_score}).round(3)
""", IGN)
code("""
from helpers import check_band

check_band("cnn", "validation", validation_score)
check_band("cnn", "test", test_score)
""")
md("""
**AUC** is new: take one ill and one healthy film at random; how often does the ill one get the higher probability? 0.5 is
chance, 1 is perfect. It asks whether the *order* is right, whatever the threshold.

On the real test films the network is better than the models of notebook 2. But it falls from validation to test as they
did.

Its answers for the field films go into the sealed envelope for notebook 6, not looked at:
""")
code("""
from helpers import get_field_data

field_films, field_labels = get_field_data()
field_rows = metadata[metadata["split"] == "field"]["index"]
probabilities = model.predict(field_films, verbose=0)
_ = save_result("cnn", "field", field_rows, field_labels, probabilities, seconds, notebook=3)
""", IGN)
md("""
## Look inside

The first layer has 32 kernels of 3 x 3. What did they learn? (Each has three colours; we draw their mean.)
""")
code("""
first_kernels = model.layers[0].get_weights()[0].mean(axis=2)
figure, axes = plt.subplots(2, 16, figsize=(10, 1.6))
for number, ax in enumerate(axes.flat):
    ax.imshow(first_kernels[:, :, number], cmap="PuOr_r", vmin=-0.2, vmax=0.2)
    ax.axis("off")
show_figure("Thirty-two small squares of 3 x 3 pixels in orange and purple: the learned kernels.", films=False)
""")
md("""
Small tables of numbers, like our edge kernels: some are brighter on one side than on the other. Easier to read is what they
make of a film, the **feature maps**. Here are eight, for a film with pneumonia.
""")
code("""
ill_film = films[labels == 1][:1]
maps = np.array(model.layers[0](ill_film))[0]
strongest = np.argsort(maps.std(axis=(0, 1)))[-8:]
""")
code("""
_ = plot_films([maps[:, :, number] for number in strongest], columns=4)
show_figure("Eight feature maps of a chest film: some show its edges, some its bright or its dark parts.")
""")
md("""
Some kernels react to edges, some to bright areas. Nobody told them to.

## Tinkering

Change one thing and train again. Guess before you look: what does it do to the AUC on the validation films? We tried three
changes on the real films, with seed 0:

| the network | AUC, validation |
| --- | --- |
| as it is | 0.974 |
| without dropout | 0.989 |
| learning rate 0.001 instead of 0.0001 | 0.991 |
| kernels of 1 x 1 instead of 3 x 3 | 0.965 |

Two surprises. Without dropout, or with a learning rate ten times as high, the network is better after the same 15 epochs: the
article's settings are careful, and 15 epochs are too few for them. And kernels of one pixel, which cannot see any edge,
lose only little: much of what tells these films apart is how bright they are, and where. What would *you* change? Use
validation films only: the exam is over.

## What you learned

- A kernel slides over the film and finds its pattern anywhere. The network learns the kernels.
- Convolution, ReLU and pooling in turn make features; `Dense` layers decide.
- One epoch is one pass over the fit films. The best epoch is chosen on validation films.
- Training and validation curves that part mean overfitting.
- On the real test films the network beats the classic models, yet it too falls from validation to test.

## Exercises

**1 (easy).** Write a kernel that makes a film sharper, and show the result. Hint: 5 in the middle, -1 at the four sides,
0 in the corners.
""")
code("""
# exercise 1: your code
""")
md("""
**2 (medium).** How many weights has `Conv2D(32, 3)` on an input with 3 colours? Calculate it on paper, then check with
`count_params`. Why does a convolution need so much fewer weights than `Dense(32)` on the same film?
""")
code("""
# exercise 2: your code
""")
md("""
**3 (open).** Add a third block of `Conv2D` and `MaxPooling2D`. Train with the same seed. Is the difference in validation
AUC larger than between two seeds of the same network? How do you find out?
""")
code("""
# exercise 3: your code
""")
md("""
**Next:** notebook 4 starts from a network that has already seen more than a million photographs.
""")
write("03_convolutional_network.ipynb")
