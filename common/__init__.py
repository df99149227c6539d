"""What the scripts share: a package for each topic, a module for each part of it.

`tests/test_house.py` says which room may import which.

common/
  cli.py                          flags that scripts share; errors in one line
  labels.py                       the seven expressions, their codes, the shape of an image
  metrics.py                      accuracy, F1, calibration, tests, and their intervals
  comparison.py                   finished runs side by side, and beside the report
  kaggle.py                       the submission file and its check
  outputs.py                      files, captions and sentences of a script; manifest.json
  quiet.py                        keeps TensorFlow's start-up lines from the terminal
  runs/                           run folders
    storage.py                    atomic files, JSON, hashes
    records.py                    what a finished run recorded of itself
    provenance.py                 command, seed, versions, commit, machine
    resume.py                     creating a run, and going on after a kill
    schema.py                     what each file of a run must hold
    lock.py                       one process at a time in a folder
  data/                           FER-2013 in any layout
    loading.py                    a data set from any path, cached
    tables.py                     CSV tables and their layouts
    folders.py                    image files, one folder a class
    archives.py                   zip, tar and gzip, guarded against bombs
    foreign.py                    what a file is that holds no data set
    matching.py                   the images of a run in another copy of the data
    labelled.py                   which labelled images are scored, and which were trained on
    splits.py                     who held out what, and those images in any copy of the data
    agreement.py                  every check that runs and data fit together
    pixels.py                     images as a model takes them; identical images
    synthetic.py                  synthetic faces that need no download
    photos.py                     photographs, and the faces found in them
    video.py                      frames of videos and cameras, and MP4 files of frames
    tracks.py                     faces followed from frame to frame
  models/                         networks
    registry.py                   networks by name
    cnn.py                        the CNN of the report
    dnn.py                        the DNN of the report
    compact.py                    a residual CNN with a third of the multiplications
    blocks.py                     layers that networks share
    checkpoints.py                weights: saving, and loading without executing anything
    ensemble.py                   what several runs say of the same images
    prediction.py                 probabilities, batch by batch, averaged over views
    labelling.py                  photographs and videos to what models see in their faces
  export/                         networks outside Keras
    files.py                      ONNX and LiteRT files, and what their runtimes answer
    steps.py                      a network as a list of steps and a text of weights
    demo.py                       one HTML file that labels pictures in a browser
    demo.html                     its template: the network and the page in plain JavaScript
  training/                       labelled images to a finished run
    experiment.py                 one training from flags to a finished run
    measuring.py                  scores, answers and files of a trained network
    recipes.py                    optimizers, schedules and losses by name
    augment.py                    augmentation by name, a whole batch at a time
    batches.py                    batches that depend on seed and step alone
    fitting.py                    training that resumes bit for bit
    keep_run.py                   everything on disk after every epoch
    precise_batch_norm.py         batch-norm statistics estimated on plain images
    adversarial_training.py       training on images that FGSM has perturbed
    average_weights.py            the mean of the weights along the way
    devices.py                    processor or GPU, and the precision
    distillation.py               soft targets from finished runs
    pseudo_labels.py              removed labels, pseudo-labels and their statistics
  attribution/                    which pixels a decision rests on
    registry.py                   methods by name
    engine.py                     contract, checks and passes that methods share
    gradient.py                   the plain gradient
    gradient_times_input.py       gradient times pixel
    smooth_gradient.py            SmoothGrad
    integrated_gradients.py       integrated gradients
    guided_backpropagation.py     guided backpropagation
    grad_cam.py                   Grad-CAM
    layer_cam.py                  LayerCAM
    occlusion.py                  occlusion
    covering.py                   a hand over the mouth, and what that does to a map
    maps.py                       masks, mean maps, shares of face regions
    faithfulness.py               deletion, insertion, randomised weights
  ascent/                         what excites a unit
    maximise.py                   gradient ascent for many units at once
    fast_convolution.py           convolutions that compute only the filter in question
    responses.py                  what units put out, and their top activations
  attacks/                        adversarial images
    registry.py                   attacks by name, and the budget of an attack
    engine.py                     gradients, steps and projections
    fgsm.py                       FGSM
    pgd.py                        PGD
    mi_fgsm.py                    MI-FGSM
    deepfool.py                   DeepFool
    noise.py                      random noise, the control
    setting.py                    what is attacked, how and to which end
    outcomes.py                   examples, every target, transfer to other models
    robustness.py                 accuracy by size; the smallest perturbation that fools
  figures/                        table, sentences and drawing of each result
    style.py                      the look of all figures
    training/                     train_cnn.py, train_dnn.py, semi_supervised.py
      curves.py                   loss and accuracy by epoch
      compared_runs.py            two or three runs, on the same images
      pseudo_labels.py            how many pseudo-labels, and how many are right
      self_training.py            gain by share of removed labels
      settings.py                 accuracy by epoch and by what was varied
      accuracy_by_minutes.py      validation accuracy by minutes of training
    predict/                      predict.py
      photographs.py              a photograph with the expression of each face
      annotated.py                the same for a frame of a video, on its pixels
      timeline.py                 the seven probabilities of each face over time
      moments.py                  the faces when each expression was strongest
    confusion/                    confusion.py
      matrix.py                   the confusion matrix
      calibration.py              reliability diagram
      mistakes.py                 the most confident mistakes
      typical.py                  the most confident hits
      versus.py                   two models on the same images
      against_report.py           the report's fractions beside ours
      pages.py                    pages of captioned faces
    saliency/                     saliency.py
      explained_faces.py          faces, maps, masked faces
      faithfulness.py             deletion and insertion curves
      mean_map.py                 mean map of each emotion
      covered_mouths.py           faces without and with a hand over the mouth, and their maps
    filters/                      filter_vis.py
      ascent.py                   images that excite the filters of a layer
      outputs.py                  what the filters put out for one image
      top_activations.py          the faces that excite each filter most
      classes.py                  images that excite each emotion
      sheet.py                    sheets of up to 256 small images
      animation.py                ascent as an animated GIF
    adversarial/                  adversarial.py
      examples.py                 original, perturbation, adversarial image
      targets.py                  any emotion into any other
      robustness.py               accuracy by size of the perturbation
      smallest.py                 the smallest perturbation by emotion
      transfer.py                 other models on the same adversarial images
      tiles.py                    faces as small captioned pictures
    report/                       report.py
      all_curves.py               accuracy of all networks under attack
      all_matrices.py             confusion of all networks
      overview.py                 the most telling figures on one sheet
  sweep/                          many runs, from one machine to a cluster
    stages.py                     scripts with their flags, and bringing them to their end
    leash.py                      a script that ends with the process that started it
    plan.py                       what is varied, and the runs that follow from it
    pace.py                       how far runs are, and how long the others take
    engine.py                     runs side by side, here or on a Dask cluster
    merging.py                    scores by what was varied
  report/                         the page
    contents.py                   what it shows, and the numbers that the report published
    sections.py                   its parts, made of manifests
    results.py                    tables and figures of results/
    page.py                       one HTML file that needs no network
    page.html                     its template
"""

import logging
import os
import signal
import sys

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Ctrl-C while a script still imports ends it without a traceback; then `cli.run` takes over.
_script = os.path.abspath(sys.argv[0] if sys.argv else "")
_listens = signal.getsignal(signal.SIGINT) == signal.default_int_handler
if _listens and os.path.dirname(_script) == PROJECT and _script.endswith(".py"):
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

# TensorFlow reads these when it is first imported. oneDNN is off by default on processors that it
# does not know well, and training there is a third slower without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Keras would read its settings (number type, backend) from a file of the user, and write it where
# there is none. Nothing of either kind may change a result.
os.environ["KERAS_HOME"] = os.devnull
os.environ["KERAS_BACKEND"] = "tensorflow"

# A notebook hands its own way of drawing to the scripts that it starts, whose Python may not have
# it. Scripts only save figures.
if "ipykernel" not in sys.modules:
    os.environ["MPLBACKEND"] = "Agg"
    # Matplotlib keeps its list of fonts beside the cached data, not in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(PROJECT, "outputs", ".cache", "matplotlib"))
    # Where that folder is somebody else's, it takes a temporary one and need not say so.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
