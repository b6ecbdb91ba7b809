md("""
## Quick questions

Think first, then open the answer.

**Question 1.** A model has an accuracy of 0.5 on our films. How good is that?

<details><summary>Answer</summary>

As good as saying "pneumonia" to every film, or tossing a coin: half of the films are ill. 0.5 is the baseline here.

</details>

**Question 2.** Why may you look at the validation films many times, but at the test films only once for each model?

<details><summary>Answer</summary>

On the validation films you choose settings, and each choice fits them a little better. If you chose with the test films, no
films would be left that tell how good the chosen model is.

</details>

**Question 3.** A child has three films. Two are in train, one is in test. What is wrong with that?

<details><summary>Answer</summary>

The model may recognise the child: same ribs, same heart. The test would be too easy. This is leakage.

</details>

**Question 4.** Why are healthy lungs dark on an X-ray, and why do they turn white with pneumonia?

<details><summary>Answer</summary>

Air lets X-rays through, and where many arrive the film turns black. In pneumonia fluid takes the place of the air and holds
X-rays back.

</details>

**Question 5.** On the real films, healthy and ill ones differ in how much pure black they hold. Is that good news for a model?

<details><summary>Answer</summary>

No. Black lies mostly outside of the body. It tells how the film was taken, not what the child has. Such a hint can be gone in
the next hospital.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/01_solutions.ipynb](solutions/01_solutions.ipynb).
""")
code("""
import checks
""")
md("""
**1 (easy).** How many films has the patient with the most films, and in which split are they?

<details><summary>Hint</summary>

`films_per_patient` has the patients' names on the left: `films_per_patient.idxmax()` gives the name of the one with the most
films. Then look at the rows of `metadata` with this patient.

</details>
""")
code("""
most_films = None  # a number and the name of a split, such as (7, "test")
""")
code("""
checks.check_1_1(most_films)
""")
md("""
**2 (medium).** The file names of films with pneumonia say whether bacteria or a virus caused it. How many films of each kind
are in each split?

<details><summary>Hint</summary>

`metadata["filename"].str.contains("virus")` gives True or False for each row, and the same works with "bacteria". A healthy film
has neither. `str.extract("(bacteria|virus)", expand=False)` finds both at once, and `pd.crosstab` counts.

</details>
""")
code("""
kinds = None  # a table like that of pd.crosstab, with the names bacteria and virus
""")
code("""
checks.check_1_2(kinds)
""")
md("""
**3 (open).** Subtract the mean healthy film of the train split from the mean healthy film of the test split, and draw the
difference. The test films come from another folder of the original data set. Can you see it? What might that do to a model's
test score?

<details><summary>Hint</summary>

`train_data[train_labels == 0].mean(axis=0)` is one of the two. Draw the difference as the map of differences above was drawn.

</details>
""")
code("""
folder_difference = None  # one picture, of shape (64, 64, 3)
""")
code("""
checks.check_1_3(folder_difference)
""")
