md("""
## Quick questions

Think first, then open the answer.

**Question 1.** A kernel of 3 x 3 slides over a film of 64 x 64 pixels without a margin. How large is the result?

<details><summary>Answer</summary>

62 x 62: the window cannot leave the film, so one pixel is lost on each side.

</details>

**Question 2.** What would a network be without ReLU or another bend between its layers?

<details><summary>Answer</summary>

One single weighted sum, however many layers it has: sums of sums are sums. It could do no more than logistic regression.

</details>

**Question 3.** The accuracy on fit films still rises, and the loss on validation films rises, too. What happens, and what do you
do?

<details><summary>Answer</summary>

The network learns the fit films by heart: overfitting. Take the weights of the epoch with the lowest validation loss. More
films and dropout help.

</details>

**Question 4.** Why can the validation accuracy lie above the accuracy on fit films?

<details><summary>Answer</summary>

During training dropout switches numbers off, and the accuracy of an epoch is an average while the network still improves. On
validation films nothing is switched off.

</details>

**Question 5.** Which part of our network holds most of the weights, and why?

<details><summary>Answer</summary>

The first `Dense` layer: it connects each of 8,192 numbers with each of 32 neurons. A kernel uses the same few weights
everywhere.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/03_solutions.ipynb](solutions/03_solutions.ipynb).
""")
code("""
import checks
""")
md("""
**1 (easy).** Write a kernel that makes a film sharper, and show the result with `convolve` and `plot_films`.

<details><summary>Hint</summary>

5 in the middle, -1 at the four sides, 0 in the corners. Why do the nine numbers add up to 1?

</details>
""")
code("""
sharpen = None  # np.array of 3 x 3 numbers
""")
code("""
checks.check_3_1(sharpen)
""")
md("""
**2 (medium).** How many weights has `Conv2D(32, 3)` on a film with 3 colours? How many has `Dense(32)` on the same film of
64 x 64 pixels? Calculate on paper, then check. Why does the convolution need so much fewer?

<details><summary>Hint</summary>

One kernel has 3 x 3 numbers for each colour, and one more, the **bias**, which is added at the end. A neuron of `Dense` has one
weight for each number of the film, and a bias.

</details>
""")
code("""
convolution_weights = None
dense_weights = None
""")
code("""
checks.check_3_2(convolution_weights, dense_weights)
""")
md("""
**3 (open).** Add a third block of `Conv2D` and `MaxPooling2D`. Train the network with two blocks and that with three, each with
two seeds. Is the difference in validation AUC larger than between two seeds of the same network? (To keep it short: take the
first 400 fit films, 10 epochs, and a learning rate of 0.001.)

<details><summary>Hint</summary>

`keras.utils.set_random_seed(seed)` comes before each network is built. Write a function `train_once(build, seed)` that
builds, compiles, fits, and returns the AUC: `score` from `helpers` has it.

</details>
""")
code("""
three_blocks = None  # a network, trained or not
seed_aucs = {"two blocks": [], "three blocks": []}  # AUC on validation films for each seed
""")
code("""
checks.check_3_3(three_blocks, seed_aucs)
""")
