md("""
## Quick questions

Think first, then open the answer.

**Question 1.** Two models have AUCs of 0.91 and 0.92 on 400 test films. Which is better?

<details><summary>Answer</summary>

These films cannot tell: each AUC is known to two or three hundredths. Compare both on the same drawn patients, and see whether
the interval of the difference contains zero.

</details>

**Question 2.** Why does the bootstrap draw patients and not films?

<details><summary>Answer</summary>

Films of one child resemble each other, so they do not count as independent cases. Drawing films would often make the interval
too narrow.

</details>

**Question 3.** You move the threshold from 0.5 to 0.2. What happens to sensitivity, specificity and AUC?

<details><summary>Answer</summary>

More films are called ill: sensitivity rises or stays, specificity falls or stays. The AUC does not change, as it uses the order
only.

</details>

**Question 4.** A model has sensitivity and specificity of 0.95. A doctor uses it where one child in a hundred is ill. Should an
alarm frighten the parents?

<details><summary>Answer</summary>

Of 1,000 children 10 are ill, and 9 or 10 of them get an alarm. Of the 990 healthy ones about 50 get one, too. So about five of six
alarms are false.

</details>

**Question 5.** A heat map lies nicely on the lung. Does that prove that the model looks for pneumonia?

<details><summary>Answer</summary>

No. The map of an untrained network may look as good. One needs a number, and films on which the truth is known.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/05_solutions.ipynb](solutions/05_solutions.ipynb).
""")
code("""
import checks
""")
md("""
**1 (easy).** At which prevalence is half of the alarms of the last model (`best`) true? Use its sensitivity and specificity on the
test films, at the threshold 0.5.

<details><summary>Hint</summary>

Try prevalences in `share_really_ill` until it gives one half. Or solve: prevalence x sensitivity must equal
(1 - prevalence) x (1 - specificity).

</details>
""")
code("""
half_true_prevalence = None  # between 0 and 1
""")
code("""
checks.check_5_1(half_true_prevalence)
""")
md("""
**2 (medium).** Compute the 95 % bootstrap interval of the *sensitivity* of the last model on the test films, once drawing patients
and once drawing films. Which is wider?

<details><summary>Hint</summary>

`score(...)["sensitivity"]` takes the place of the AUC. To draw films, tell `bootstrap_interval` that every film is a patient of its
own: `range(len(test))`.

</details>
""")
code("""
interval_by_patient = None  # (lower, upper)
interval_by_film = None  # (lower, upper)
""")
code("""
checks.check_5_2(interval_by_patient, interval_by_film)
""")
md("""
**3 (open).** Find another shortcut: something that you can measure outside of the lungs, and that tells ill from healthy better
than chance on validation films. The check hides the middle of each film, all but a frame of 10 pixels, and your number must
stay the same. Does your shortcut hold on test films?

<details><summary>Hint</summary>

`films[:, :8, :8, 0]` is the upper left corner of every film. How bright is it, how much of it is black, is there a letter in it?
Simulated films have no shortcut there. You need the real ones to find any.

</details>
""")
code("""
def shortcut(films):
    return np.zeros(len(films))  # one number for each film; change this line
""")
code("""
checks.check_5_3(shortcut)
""")
