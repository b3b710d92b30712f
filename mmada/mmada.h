// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Everything a program needs to run MMaDA: load_model, load_image_tokenizer, Generator and its options,
/// pictures.

#include "mmada/core/check.h"
#include "mmada/formats/image_file.h"
#include "mmada/generation/denoise.h"
#include "mmada/generation/generator.h"
#include "mmada/generation/image_canvas.h"
#include "mmada/generation/text_canvas.h"
#include "mmada/model/checkpoint.h"
#include "mmada/text/tokenizer.h"
#include "mmada/vision/magvit2.h"
