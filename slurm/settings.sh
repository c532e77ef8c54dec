# What the jobs of this folder work on. Edit this; the scheduler's side is at the top of each template.
# shellcheck shell=bash disable=SC2034

# Holds bitmill and bitmill-mpirun: cmake --install build --prefix $HOME/bitmill
bin=$HOME/bitmill/bin

# A Hugging Face folder, and the folder to be made. On a file system that every node sees.
model=SmolLM2-135M-Instruct
output=smol-packed

# Text to calibrate on, and text to evaluate on.
calib=wiki.valid.raw.txt
corpus=wiki.test.raw.txt

# More options of bitmill quantize. Recipe `published` (the default) can use one rank only.
options=(--recipe parallel)

# For chain.sbatch: a copy of configs/chains/best.cfg or paper.cfg, with your texts in [eval] and
# where else it names some. Model, output and calibration text are those above.
chain=best.cfg

# A job that is requeued this often is not requeued again.
max_requeues=20
