/* SPDX-License-Identifier: MIT */
#ifndef MMADA_REWARDS_PLUGIN_ABI_H
#define MMADA_REWARDS_PLUGIN_ABI_H

/* A reward in a shared library, in plain C: what `mmada-reward-host` loads for {"type": "plugin"}. C++
   plugins are shorter with mmada/rewards/plugin.h.

   Structures begin with their size and grow at their end only: a host tells by struct_size which fields a
   plugin knows, a plugin by struct_size which fields the host fills in. Samples are reached through pointers
   for the same reason. A change that this cannot bridge raises MMADA_REWARD_ABI_VERSION. */

#include <stddef.h>
#include <stdint.h>

#define MMADA_REWARD_ABI_VERSION 1u

#if defined(__GNUC__)
#define MMADA_REWARD_EXPORT __attribute__((visibility("default")))
#else
#define MMADA_REWARD_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** UTF-8 of `size` bytes; a NUL stands behind them, and may stand among them. */
typedef struct mmada_reward_text {
  const char* data;
  size_t size;
} mmada_reward_text;

/** 8-bit RGB, interleaved, row-major: rgb[(y * width + x) * 3 + channel]. `rgb` is null where nothing was
 * drawn. */
typedef struct mmada_reward_image {
  const uint8_t* rgb;
  uint32_t width, height;
} mmada_reward_image;

/** A response and what is known of its prompt; the fields of RewardSample (mmada/rewards/reward.h). */
typedef struct mmada_reward_sample {
  size_t struct_size;
  mmada_reward_text task;     /**< "text", "mmu" or "t2i" */
  mmada_reward_text prompt;   /**< what was asked */
  mmada_reward_text response; /**< text; empty where a picture was drawn without any */
  mmada_reward_text answer;   /**< the prompt's reference answer; empty where it has none */
  mmada_reward_text metadata; /**< a JSON object */
  mmada_reward_image image;   /**< what was drawn */
} mmada_reward_sample;

/** What to judge; all of it belongs to the host and lives until `score` returns. */
typedef struct mmada_reward_batch {
  size_t struct_size;
  size_t count;
  const mmada_reward_sample* const* samples; /**< [count] */
} mmada_reward_batch;

/** What became of a sample. Every entry begins as MISSING; one that stays so fails the batch. */
typedef enum mmada_reward_verdict {
  MMADA_REWARD_MISSING = 0,
  MMADA_REWARD_SCORED = 1,  /**< its value is the score */
  MMADA_REWARD_ABSTAINS = 2 /**< no opinion */
} mmada_reward_verdict;

/** The host's room for the answer. */
typedef struct mmada_reward_scores {
  size_t struct_size;
  size_t count;      /**< as in the batch */
  double* values;    /**< [count], finite where the verdict is SCORED */
  uint8_t* verdicts; /**< [count] of mmada_reward_verdict */
} mmada_reward_scores;

/** The host's room for a message: UTF-8 of at most `size` - 1 bytes and a NUL. Empty when the call begins. */
typedef struct mmada_reward_error {
  size_t struct_size;
  char* text;
  size_t size;
} mmada_reward_error;

/** What a plugin is. All calls come from one thread, one after the other. */
typedef struct mmada_reward_plugin {
  size_t struct_size;
  uint32_t abi_version; /**< MMADA_REWARD_ABI_VERSION */
  /** Makes the reward from its "config", a JSON object. Null, with a message, where that fails. */
  void* (*create)(mmada_reward_text config, mmada_reward_error* error);
  /** Fills in the scores. Other than 0, with a message, where that fails; the next batch comes to the same
   * reward. */
  int (*score)(void* reward, const mmada_reward_batch* batch, mmada_reward_scores* scores,
               mmada_reward_error* error);
  void (*destroy)(void* reward);
} mmada_reward_plugin;

/** The one symbol of a plugin: its table, which lives as long as the library. */
MMADA_REWARD_EXPORT const mmada_reward_plugin* mmada_reward_plugin_table(void);

#ifdef __cplusplus
}
#endif

#endif
