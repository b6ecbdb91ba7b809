md("""
## Quick questions

Think first, then open the answer.

**Question 1.** What does nearest neighbours do while it is trained?

<details><summary>Answer</summary>

It remembers the films. The work comes when it predicts: it compares the new film with all of them.

</details>

**Question 2.** With k = 1, how many of the *fit* films does nearest neighbours get right? Does that tell you anything?

<details><summary>Answer</summary>

All of them (unless two equal films have different labels): the nearest film is the film itself. It says nothing about new
films.

</details>

**Question 3.** Why does a straight line make a poor probability?

<details><summary>Answer</summary>

It leaves the range from 0 to 1. The logistic curve cannot.

</details>

**Question 4.** A model calls every film ill. What are its sensitivity and its specificity?

<details><summary>Answer</summary>

Sensitivity 1: it finds all ill children. Specificity 0: it leaves no healthy child in peace.

</details>

**Question 5.** You tried seven values of k and kept the best on the validation films. Is its validation score a fair forecast?

<details><summary>Answer</summary>

It is a little too good: the best of seven was lucky, too. And here the test films come from another folder, so the real fall
is much larger.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/02_solutions.ipynb](solutions/02_solutions.ipynb).
""")
code("""
import checks
""")
md("""
**1 (easy).** Which k would you choose if you asked for the highest sensitivity on the validation films? Compute it for each
k in `ks`.

<details><summary>Hint</summary>

`voters` holds a fitted model for each k. Choose the ill films with `validation_labels == 1`; the sensitivity is the model's
`score` on these alone.

</details>
""")
code("""
most_sensitive_k = None  # one of ks
""")
code("""
checks.check_2_1(most_sensitive_k)
""")
md("""
**2 (medium).** Train nearest neighbours with k = 10 on only the first 50, 100, 200, 400, 800 and 1,600 fit films. Draw
validation accuracy over the number of films. Would twice as many films help?

<details><summary>Hint</summary>

`fit_films[:50]` are the first 50 films; take as many labels. A loop over the sizes fills the dictionary. `plt.semilogx` draws a
curve whose steps of doubling are equally wide.

</details>
""")
code("""
learning_curve = {}  # number of films: accuracy on the validation films
""")
code("""
checks.check_2_2(learning_curve)
""")
md("""
**3 (open).** Films differ in exposure. Write a function that prepares each film alone, so that nearest neighbours compare
better. Begin with equal brightness: subtract the film's mean, divide by its standard deviation. What happens on validation
films? Write down what you expect on the test films, and why.

<details><summary>Hint</summary>

A film is a row: `films.mean(axis=1, keepdims=True)` gives one mean for each. Other ideas: blur a little
(`scipy.ndimage.gaussian_filter`), make films smaller, leave out the margin.

</details>
""")
code("""
def prepare(films):
    return films  # rows of 4,096 grey values; change this line
""")
code("""
checks.check_2_3(prepare)
""")
