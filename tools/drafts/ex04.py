md("""
## Quick questions

Think first, then open the answer.

**Question 1.** VGG16 has never seen an X-ray in its first training. Why are its features still of use?

<details><summary>Answer</summary>

Its first layers look for edges, spots and textures, and X-rays have those, too. Only its last layers knew about dogs and ships,
and these we left out.

</details>

**Question 2.** What does it mean that the trunk is frozen, and why does training then take seconds?

<details><summary>Answer</summary>

Its weights do not change. So its answer to a film does not change either: it is computed once, and only the small head is
trained.

</details>

**Question 3.** Why train the head first, and all layers afterwards?

<details><summary>Answer</summary>

A new head has random weights. Its first, large mistakes would run back into the trunk and spoil what that had learned.

</details>

**Question 4.** You leave out `preprocess_input` and feed values from 0 to 1. No error appears. What happens?

<details><summary>Answer</summary>

To the network the films are almost black, something it has never seen. Its features get worse, silently.

</details>

**Question 5.** Which films choose between the recipes: fit, validation or test?

<details><summary>Answer</summary>

The validation films. Only the chosen recipe meets the test films.

</details>
""")
md("""
## Exercises

Each exercise has a cell for your answer and a cell that checks it. Full solutions:
[solutions/04_solutions.ipynb](solutions/04_solutions.ipynb).
""")
code("""
import checks
""")
md("""
**1 (easy).** Fit a logistic regression of scikit-learn on the 512 `features` of the films in `fit_rows`, in place of the head. Use
`make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))`. What is its AUC on the validation films?

<details><summary>Hint</summary>

`predict_proba(features[validation])[:, 1]` are the probabilities. `score` from `helpers` gives the AUC.

</details>
""")
code("""
logistic_auc = None
""")
code("""
checks.check_4_1(logistic_auc, features)
""")
md("""
**2 (medium).** Do the early layers give worse features than the last ones? Take the output of `block3_pool` instead of the whole
trunk, average each map, and fit the model of exercise 1 on these. (Fine-tuning has changed the trunk. The first line gives
it its old weights back; the results above are kept.)

<details><summary>Hint</summary>

`keras.Model(vgg16.input, vgg16.get_layer("block3_pool").output)` is the early part. Continue as in `features_of`; about 15 seconds.

</details>
""")
code("""
vgg16.set_weights(weights_before)
early_features = None  # 256 numbers for each film
early_auc = None
""")
code("""
checks.check_4_2(early_features, early_auc, vgg16)
""")
md("""
**3 (open).** Which augmentation makes sense for chest films? Should one mirror them left to right? Think of the heart. Choose
layers of Keras, augment the fit films once, and fit the model of exercise 1 on the features of the films and of their
augmented copies together. Compare on validation films.

<details><summary>Hint</summary>

Send `films[fit_rows]` through your layers with `training=True`, as `augment` does above, and through the trunk, as `features_of` does.
Then `np.concatenate` joins both sets of features, and both sets of labels.

</details>
""")
code("""
my_augmentation = []  # Keras layers
my_auc = None  # on validation films, fitted on films and augmented copies
""")
code("""
checks.check_4_3(my_augmentation, logistic_auc, my_auc)
""")
