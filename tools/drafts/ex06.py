md("""
## Quick questions

Think first, then open the answer.

**Question 1.** Nothing in the models changed. Why do they do worse on field films?

<details><summary>Answer</summary>

The films changed: they are turned, wrongly exposed and noisy, and the models learned from films that were not. This is
distribution shift.

</details>

**Question 2.** Why may we disturb the validation films, but not choose the best epoch on the field films?

<details><summary>Answer</summary>

The field films are the exam. The disturbed validation films are a mock exam of the same kind, from children that are in neither
the fit nor the field films.

</details>

**Question 3.** Augmentation made the training set six times as large. Are there six times as many children in it?

<details><summary>Answer</summary>

No. The copies show the same children. They teach what does *not* matter, such as the angle, but nothing new about the disease.

</details>

**Question 4.** What does an ablation tell that the final score does not?

<details><summary>Answer</summary>

Which part of a recipe does the work. Leave out one part at a time and measure again.

</details>

**Question 5.** The prepared network does well on our field films. May a clinic with a portable machine use it?

<details><summary>Answer</summary>

No. Our field films are imitated, and we trained with the very same imitation. Real machines, other children and other diseases
need an examination of their own. Networks trained on this data set fell to chance elsewhere.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/06_solutions.ipynb](solutions/06_solutions.ipynb). Use validation films throughout: the test and the field
films had their exam.
""")
code("""
import checks
""")
md("""
**1 (easy).** Which is worse for the network `cnn`, films that are too dark or films that are too bright? Measure its accuracy on
`films[held_out] ** 1.6` and on `films[held_out] ** 0.6`.

<details><summary>Hint</summary>

`score(labels[held_out], cnn.predict(..., verbose=0))["accuracy"]`. Grey values lie between 0 and 1: does 0.5 become
larger or smaller when it is raised to 1.6?

</details>
""")
code("""
exposure_accuracy = {"darker": None, "brighter": None}
""")
code("""
checks.check_6_1(exposure_accuracy, cnn)
""")
md("""
**2 (medium).** How fast does the accuracy fall with the angle? Write a function that turns the validation films by 0, 10, 20, 30
and 40 degrees and gives a model's accuracy for each. Draw its curve for `cnn` and for the same network trained without
augmentation (`build()`, then `train` on `films[fit]`, under a minute).

<details><summary>Hint</summary>

`scipy.ndimage.rotate(films[held_out], angle, axes=(1, 2), reshape=False, order=1)` turns all films at once.

</details>
""")
code("""
def accuracy_by_angle(model):
    return {}  # angle in degrees: accuracy on validation films
""")
code("""
checks.check_6_2(accuracy_by_angle, cnn)
""")
md("""
**3 (open).** Invent a disturbance that a real machine might make and `disturb` does not: a cable over the chest, a letter in the
corner, a strip of the film cut off. Does the prepared network withstand it?

<details><summary>Hint</summary>

Begin with `changed = films.copy()`, then draw into it: `changed[:, 30:33] = 1` is a white line across every film.

</details>
""")
code("""
def my_disturbance(films):
    return films  # values from 0 to 1; change this line
""")
code("""
checks.check_6_3(my_disturbance, cnn)
""")
